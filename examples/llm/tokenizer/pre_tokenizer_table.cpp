#include "tokenizer/pre_tokenizer_table.hpp"

#include <algorithm>
#include <iterator>

namespace bq_llm {
namespace {

// Parts.
#define CONTRACTION "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define BLANKS "|[\\s]*[\\r\\n]+|[\\s]+(?![^\\s])|[\\s]+"
#define SYMBOLS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
// Any case may follow any: llama.cpp's classes of upper and lower case tell only ASCII apart.
#define CAMEL(contraction, upper, lower) \
  "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" contraction "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower "*" contraction
#define CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
// U+0800 to U+9FA5 and U+AC00 to U+D7FF, without the white space among them.
#define CJK_AND_MORE                                                                                                   \
  "[\\x{800}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}" \
  "\\x{3001}-\\x{9FA5}\\x{AC00}-\\x{D7FF}]+"
#define ASCII_SYMBOL_AND_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"

// The letters with two cases that DeepSeek LLM lists, besides ASCII's.
#define CASED_LETTERS                                                                                   \
  "\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-"    \
  "\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}" \
  "\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-"     \
  "\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-"     \
  "\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-"     \
  "\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}"       \
  "\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-"     \
  "\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}"      \
  "\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-"       \
  "\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}"       \
  "\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-"      \
  "\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-"     \
  "\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-"    \
  "\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}"      \
  "\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"

constexpr std::string_view digit = "\\p{N}", three_digits = "\\p{N}{1,3}", newlines = "[^\\n]+|[\\n]+",
                           gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|[\\s]+(?![^\\s])",
                           llama3 = CONTRACTION "|" LETTERS "|\\p{N}{1,3}" SYMBOLS BLANKS,
                           qwen2 = CONTRACTION "|" LETTERS "|\\p{N}" SYMBOLS BLANKS,
                           sentence_marks =
                               " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+";

constexpr pre_tokenizer_rule as_deepseek_llm{
    {"[\\r\\n]", "[\\s]?[A-Za-z" CASED_LETTERS "]+",
     "[\\s]?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3001}\\x{3002}]+",
     "(?<![\\s])[\\s]++\\z", CJK_AND_MORE, "\\p{N}+"}},
    as_gpt2{{gpt2}}, as_starcoder{{digit, gpt2}}, as_llama3{{llama3}}, as_llama3_whole{{llama3}, true, true},
    as_qwen2{{qwen2}}, as_falcon{{"[\\p{P}$+<=>^~|`]+", gpt2, "[0-9][0-9][0-9]"}},
    as_default{{"[\\p{P}$+<=>^~|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    as_jais2{{CONTRACTION
              "|" LETTERS "|\\p{N}{1,3}" SYMBOLS
              "|[\\s]*[\\r\\n]+|[\\s]{512}(?![^\\s])|[\\s]{256}(?![^\\s])|[\\s]{128}(?![^\\s])|[\\s]{64}(?![^"
              "\\s])|[\\s]{32}(?![^\\s])|[\\s]{16}(?![^\\s])|[\\s]{8}(?![^\\s])|[\\s]{4}(?![^\\s])|[\\s]{1,2}(?"
              "![^\\s])|[\\s]"}},
    as_qwen35{
        {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" BLANKS}},
    as_deepseek3{{three_digits, CJK,
                  ASCII_SYMBOL_AND_WORD
                  "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" BLANKS}},
    as_deepseek_coder{{"[\\r\\n]", "[\\s]?\\p{L}+", "[\\s]?\\p{P}+", CJK_AND_MORE, digit}},
    as_tekken{{CAMEL("", "[^\\P{L}a-z]", "[^\\P{L}A-Z]") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" BLANKS}, true, true},
    as_gpt4o{
        {CAMEL(CONTRACTION "?", "[^\\P{L}a-z]", "[^\\P{L}A-Z]") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" BLANKS}},
    as_bailing{{"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" LETTERS "|\\p{N}" SYMBOLS
                "|[\\s]*[\\r\\n]|[\\s]+(?![^\\s])|[\\s]+"}},
    as_seed{{CONTRACTION "|" LETTERS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" BLANKS}},
    as_ufakzeka{{LETTERS "|\\p{N}" SYMBOLS BLANKS}},
    as_exaone_moe{{CONTRACTION
                   "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}[\\p{L}\\p{M}]*+(?: \\p{L}[\\p{L}\\p{M}]*+)*+|\\p{N}| ?[^\\s\\p{L}\\p{"
                   "N}]+[\\r\\n/]?|[\\s]*[\\r\\n]|[\\s]+(?![^\\s])|[\\s]+"}},
    as_minicpm5{{three_digits, CONTRACTION "|" LETTERS "|\\p{N}+" SYMBOLS BLANKS}, true}, as_laguna{{newlines, qwen2}},
    as_poro{{sentence_marks}}, as_viking{{sentence_marks, digit}}, as_chatglm{{llama3}, true};

struct named_rule {
  std::string_view name;
  const pre_tokenizer_rule& rule;
};
constexpr named_rule rules[] = {
    {"default", as_default},
    {"llama3", as_llama3_whole},
    {"llama-v3", as_llama3_whole},
    {"llama-bpe", as_llama3_whole},
    {"falcon3", as_llama3_whole},
    {"falcon-h1", as_llama3_whole},
    {"pixtral", as_llama3_whole},
    {"midm-2.0", as_llama3_whole},
    {"lfm2", as_llama3_whole},
    {"jina-v5-nano", as_llama3_whole},
    {"dbrx", as_llama3},
    {"smaug-bpe", as_llama3},
    {"chatglm-bpe", as_llama3},
    {"glm4", as_chatglm},
    {"glm5", as_chatglm},
    {"minicpm5", as_minicpm5},
    {"jais-2", as_jais2},
    {"gpt-2", as_gpt2},
    {"phi-2", as_gpt2},
    {"jina-es", as_gpt2},
    {"jina-de", as_gpt2},
    {"jina-v2-es", as_gpt2},
    {"jina-v2-de", as_gpt2},
    {"jina-v1-en", as_gpt2},
    {"jina-v2-code", as_gpt2},
    {"roberta-bpe", as_gpt2},
    {"gigachat", as_gpt2},
    {"a.x-4.0", as_gpt2},
    {"mellum", as_gpt2},
    {"modern-bert", as_gpt2},
    {"mpt", as_gpt2},
    {"olmo", as_gpt2},
    {"jais", as_gpt2},
    {"trillion", as_gpt2},
    {"granite-docling", as_gpt2},
    {"exaone4", as_gpt2},
    {"starcoder", as_starcoder},
    {"refact", as_starcoder},
    {"command-r", as_starcoder},
    {"smollm", as_starcoder},
    {"codeshell", as_starcoder},
    {"exaone", as_starcoder},
    {"minerva-7b", as_starcoder},
    {"mellum2", as_starcoder},
    {"qwen2", as_qwen2},
    {"deepseek-r1-qwen", as_qwen2},
    {"kormo", as_qwen2},
    {"f2llmv2", as_qwen2},
    {"megrez", as_qwen2},
    {"stablelm2", as_qwen2},
    {"hunyuan", as_qwen2},
    {"solar-open", as_qwen2},
    {"grok-2", as_qwen2},
    {"qwen35", as_qwen35},
    {"deepseek-v3", as_deepseek3},
    {"hunyuan-dense", as_deepseek3},
    {"joyai-llm", as_deepseek3},
    {"hy_v4", as_deepseek3},
    {"deepseek-llm", as_deepseek_llm},
    {"deepseek-coder", as_deepseek_coder},
    {"falcon", as_falcon},
    {"tekken", as_tekken},
    {"gpt-4o", as_gpt4o},
    {"llama4", as_gpt4o},
    {"kanana2", as_gpt4o},
    {"talkie", as_gpt4o},
    {"minimax-m2", as_gpt4o},
    {"bailingmoe", as_bailing},
    {"bailingmoe2", as_bailing},
    {"llada-moe", as_bailing},
    {"seed-coder", as_seed},
    {"ufakzeka", as_ufakzeka},
    {"exaone-moe", as_exaone_moe},
    {"laguna", as_laguna},
    {"poro-chat", as_poro},
    {"bloom", as_poro},
    {"gpt3-finnish", as_poro},
    {"viking", as_viking},
};

}  // namespace

const pre_tokenizer_rule* find_pre_tokenizer(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(rules), std::end(rules), [&](const auto& each) { return each.name == name; });
  return found == std::end(rules) ? nullptr : &found->rule;
}

}  // namespace bq_llm
