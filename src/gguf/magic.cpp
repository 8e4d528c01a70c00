// What a file is that is not GGUF: most are failed downloads and models in other containers.
#include <algorithm>
#include <cctype>

#include "reader.hpp"

namespace bq::gguf {

namespace {

struct signature {
  std::string_view bytes;
  const char* meaning;
};

// The llama.cpp formats before GGUF wrote their magic as a number, so its letters are reversed on disk.
constexpr signature signatures[] = {
    {"lmgg", "a GGML file, a format of llama.cpp from before August 2023"},
    {"fmgg", "a GGMF file, a format of llama.cpp from before August 2023"},
    {"tjgg", "a GGJT file, a format of llama.cpp from before August 2023"},
    {"algg", "a GGLA adapter, a format of llama.cpp from before August 2023"},
    {"FUGG", "a GGUF magic with its bytes reversed"},
    {"version https://git-lfs", "a Git LFS pointer: the model itself has not been downloaded (git lfs pull)"},
    {"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint"},
    {"\x80\x02", "a Python pickle, perhaps a PyTorch checkpoint"},
    {"\x89HDF", "an HDF5 file"},
    {"\x1f\x8b", "a gzip file"},
    {"\x28\xb5\x2f\xfd", "a zstd file"},
    {"<!doctype html", "an HTML page: the download gave a web page instead of the file"},
    {"<html", "an HTML page: the download gave a web page instead of the file"},
    {"<?xml", "an XML document: the download gave an error message instead of the file"},
    {"{", "a JSON document"},
};

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool matches(std::string_view text, std::string_view signature) {
  return text.size() >= signature.size() && std::equal(signature.begin(), signature.end(), text.begin(),
                                                       [](char s, char t) { return s == t || s == lower(t); });
}

}  // namespace

std::string looks_like(std::span<const std::byte> head) {
  const std::string_view bytes(reinterpret_cast<const char*>(head.data()), head.size());
  const auto zero = [](char c) { return c == '\0'; };
  if (std::ranges::all_of(bytes, zero)) return "zeros: an interrupted download, or a file that was never written";
  // u64 length of a JSON header, and the header.
  if (bytes.size() > 8 && bytes[8] == '{' && bytes[6] == '\0' && bytes[7] == '\0') return "a safetensors file";
  std::string_view text = bytes;
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  for (const signature& s : signatures) {
    if (matches(bytes, s.bytes) || matches(text, s.bytes)) return s.meaning;
  }
  const auto readable = [](char c) {
    return std::isprint(static_cast<unsigned char>(c)) || std::isspace(static_cast<unsigned char>(c));
  };
  if (std::ranges::all_of(bytes, readable)) return "text, beginning \"" + printable(bytes, 32) + "\"";
  return "\"" + printable(bytes.substr(0, 4)) + "\"";
}

}  // namespace bq::gguf
