// Which tokens begin and end what, as far as files leave it open. llama.cpp knows the roles by the texts that many
// models share, and overrides the file's token types accordingly; ids depend on it, because control tokens are not
// looked for in plain text. Where several tokens could fill one role, llama.cpp takes one of them at random (in the
// order of a hash table) and this file the first in the lists below.
#include <algorithm>
#include <array>
#include <cctype>

#include "tokenizer/metadata_values.hpp"
#include "tokenizer/vocabulary.hpp"

namespace bq_llm {
namespace {

using name_text = std::string_view;

constexpr name_text ends_turn[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
    "<end_of_utterance>",
};
constexpr name_text ends_message[] = {"<|eom_id|>"};

// Besides those above.
constexpr name_text ends_too[] = {"<|return|>", "<|call|>", "<|flush|>", "<|calls|>",        "</s>",
                                  "[EOS]",      "<eos>",    "<turn|>",   "<|tool_response>", "[e~["};

// Fill in the middle. The last three end generation as well.
constexpr name_text fim_prefix[] = {"<|fim_prefix|>",
                                    "<fim-prefix>",
                                    "<fim_prefix>",
                                    "<\xEF\xBD\x9C"
                                    "fim\xE2\x96\x81"
                                    "begin\xEF\xBD\x9C>",
                                    "<PRE>",
                                    "\xE2\x96\x81<PRE>",
                                    "<|code_prefix|>",
                                    "<|prefix|>"};
constexpr name_text fim_suffix[] = {"<|fim_suffix|>",
                                    "<fim-suffix>",
                                    "<fim_suffix>",
                                    "<\xEF\xBD\x9C"
                                    "fim\xE2\x96\x81hole\xEF\xBD\x9C>",
                                    "<SUF>",
                                    "\xE2\x96\x81<SUF>",
                                    "<|code_suffix|>",
                                    "<|suffix|>"};
constexpr name_text fim_middle[] = {"<|fim_middle|>",
                                    "<fim-middle>",
                                    "<fim_middle>",
                                    "<\xEF\xBD\x9C"
                                    "fim\xE2\x96\x81"
                                    "end\xEF\xBD\x9C>",
                                    "<MID>",
                                    "\xE2\x96\x81<MID>",
                                    "<|code_middle|>",
                                    "<|middle|>"};
constexpr name_text fim_padding[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr name_text fim_repository[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"};
constexpr name_text fim_file[] = {"<|file_sep|>"};

// A role that a key or a well-known text gives to one token.
struct role {
  std::string_view key;
  std::span<const name_text> texts;
  bool ends;
};
constexpr role roles[] = {
    {"tokenizer.ggml.eot_token_id", ends_turn, true},          {"tokenizer.ggml.eom_token_id", ends_message, true},
    {"tokenizer.ggml.fim_pre_token_id", fim_prefix, false},    {"tokenizer.ggml.fim_suf_token_id", fim_suffix, false},
    {"tokenizer.ggml.fim_mid_token_id", fim_middle, false},    {"tokenizer.ggml.fim_pad_token_id", fim_padding, true},
    {"tokenizer.ggml.fim_rep_token_id", fim_repository, true}, {"tokenizer.ggml.fim_sep_token_id", fim_file, true},
};

// Shown even where control tokens are not.
constexpr name_text shown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](auto part) { return text.find(part) != std::string_view::npos; });
}

}  // namespace

std::optional<int> vocabulary::first_of(std::span<const std::string_view> texts) const {
  for (const std::string_view text : texts) {
    if (const auto id = find(text)) return id;
  }
  return std::nullopt;
}

void vocabulary::end_with(std::optional<int> id) {
  if (id) ends_[static_cast<std::size_t>(*id)] = true;
}

void vocabulary::assign_roles(const bq::gguf::metadata& metadata) {
  const auto set_kind = [&](int id, token_kind kind) { kinds_[static_cast<std::size_t>(id)] = kind; };
  const auto by_key = [&](std::string_view key, std::optional<int>& id) {
    if (const auto given = find_id(metadata, key, size())) id = given;
  };
  ends_.assign(texts_.size(), false);
  by_key("tokenizer.ggml.bos_token_id", bos);
  by_key("tokenizer.ggml.eos_token_id", eos);
  by_key("tokenizer.ggml.unknown_token_id", unknown);
  for (const role& each : roles) {
    std::optional<int> id = find_id(metadata, each.key, size());
    if (!id && (id = first_of(each.texts))) set_kind(*id, token_kind::control);
    if (each.ends) end_with(id);
    if (each.texts.data() == ends_turn) eot = id;
  }
  for (const auto& texts : {std::span<const name_text>(ends_turn), {ends_message}, {ends_too}}) {
    for (const name_text text : texts) {
      if (const auto id = find(text)) {
        set_kind(*id, token_kind::control);
        end_with(id);
      }
    }
  }
  for (const name_text text : shown) {
    if (const auto id = find(text)) set_kind(*id, token_kind::user_defined);
  }
  end_with(eos);

  // Formats that end a part of a message, or use a token of that look otherwise.
  const auto ends = [&](std::string_view text) {
    const auto id = find(text);
    return id && ends_generation(*id);
  };
  const auto is_no_end = [&](std::string_view text, token_kind kind) {
    if (!ends(text)) return;
    ends_[static_cast<std::size_t>(*find(text))] = false;
    set_kind(*find(text), kind);
  };
  const bool calls = ends("<|call|>") || ends("<|calls|>");
  if (calls && (ends("<|return|>") || ends("<|flush|>"))) is_no_end("<|end|>", token_kind::user_defined);
  if (ends("<|tool_response>") || ends("<|plamo:eos|>")) is_no_end("</s>", token_kind::normal);
}

void vocabulary::assign_stripping(const bq::gguf::metadata& metadata) {
  const std::string_view pre = find_string(metadata, "tokenizer.ggml.pre").value_or("");
  std::string name(find_string(metadata, "general.name").value_or(""));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));

  if (contains_any(pre, {"jina-v2-de", "jina-v2-es", "jina-v2-code"})) {
    strips_left_ = find("<mask>").value_or(-1);
  } else if (contains_any(name, {"phi-3", "phi3"})) {
    strips_right_.assign(texts_.size(), false);
    for (int id = 0; id < size(); ++id)
      strips_right_[static_cast<std::size_t>(id)] = is_special(id) || text(id) == "</s>";
    for (const name_text text : {"<unk>", "<s>", "<|endoftext|>"}) {
      if (const auto id = find(text)) strips_right_[static_cast<std::size_t>(*id)] = false;
    }
  } else if (contains_any(name, {"modern-bert"})) {
    strips_left_ = find("[MASK]").value_or(-1);
  }
}

}  // namespace bq_llm
