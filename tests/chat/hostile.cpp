// Templates that ask for too much, and texts that are no templates: each ends soon in a bq::error that names a line.
#include <doctest/doctest.h>
#include <blockquant/error.hpp>

#include <string>

#include "chat/chat_template.hpp"

namespace {

std::string repeated(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string failure(const std::string& source) {
  try {
    bq_llm::chat_template(source).render(nlohmann::ordered_json::array(), false);
  } catch (const bq::error& e) {
    CHECK(e.code() == bq::errc::bad_recipe);
    return e.what();
  }
  FAIL_CHECK("no error: " << source.substr(0, 80));
  return {};
}

bool fails_with(const std::string& source, std::string_view message) {
  const std::string found = failure(source);
  CAPTURE(found);
  CHECK(found.find(message) != std::string::npos);
  return found.find(message) != std::string::npos;
}

}  // namespace

TEST_CASE("chat: endless work is cut off") {
  fails_with("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "too much");
  fails_with("{% for a in range(99999) %}{{ 'abcdefgh' * 99999 }}{% endfor %}", "too");
  fails_with("{% set ns = namespace(t='ab') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}", "too");
  fails_with("{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}", "too");
  fails_with(
      "{% set ns = namespace(t='ab') %}{% for i in range(99) %}{% set ns.t = ns.t | replace('a', 'aa') %}{% endfor %}",
      "too");
  fails_with("{{ range(9999999999) }}", "range that is too long");
  fails_with("{{ 'x' * 9999999999 }}", "too long");
  fails_with("{{ 9999999999 * 9999999999 }}", "64 bits");
  fails_with("{{ 7 ** 99999999 }}", "64 bits");
  fails_with("{{ 'a' | indent(99999999999) }}", "too long");
}

TEST_CASE("chat: endless recursion and nesting are cut off") {
  fails_with("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion that is too deep");
  fails_with("{% macro f(x=f()) %}{% endmacro %}{{ f() }}", "recursion that is too deep");
  fails_with("{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}", "nests too deep");
  fails_with("{{ " + repeated("[", 100000) + repeated("]", 100000) + " }}", "nests too deep");
  fails_with("{{ " + repeated("-", 100000) + "1 }}", "nests too deep");
  fails_with("{{ " + repeated("not ", 100000) + "1 }}", "nests too deep");
  fails_with("{{ 1" + repeated(" + 1", 100000) + " }}", "too deep");
  fails_with("{{ x" + repeated(".y", 100000) + " }}", "too deep");
  fails_with("{{ x" + repeated(" | upper", 100000) + " }}", "too deep");
  fails_with(repeated("{% if 1 %}", 20000), "nest too deep");
  fails_with("{% if 1 %}" + repeated("{% elif 1 %}", 20000) + "{% endif %}", "too many branches");
  fails_with("{% set ns = namespace(t=[]) %}{% for i in range(9999) %}{% set ns.t = [ns.t] %}{% endfor %}",
             "nests too deep");
  // Little memory, but printing it would double with each of 60 steps.
  fails_with(
      "{% set ns = namespace(t=[]) %}{% for i in range(60) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
      "too");
  fails_with("{% set ns = namespace() %}{% set ns.me = ns %}", "a namespace inside another value");
  fails_with("{% set ns = namespace() %}{% set ns.me = [ns] %}", "a namespace inside another value");
}

TEST_CASE("chat: the error names the line and what is not supported") {
  fails_with("a\nb\n{% include 'x' %}", "line 3");
  fails_with("a\n{% include 'x' %}", "found include");
  fails_with("{% extends 'x' %}", "extends");
  fails_with("{{ 1 | frobnicate }}", "frobnicate");
  fails_with("{{ 1 is frobnicated }}", "frobnicated");
  fails_with("\n\n{{ 'a'.frobnicate() }}", "line 3");
  fails_with("{{ f(*[1]) }}", "unpacked arguments");
  fails_with("{% for x in [] recursive %}{% endfor %}", "recursive");
  fails_with("{{ raise_exception('no tools') }}", "the template refuses: no tools");
}

TEST_CASE("chat: what is no template") {
  for (const std::string source : {"{{",
                                   "{%",
                                   "{#",
                                   "{{ }}",
                                   "{% %}",
                                   "{% if %}{% endif %}",
                                   "{% if 1 %}",
                                   "{% endif %}",
                                   "{% for %}",
                                   "{{ 1 2 }}",
                                   "{{ 'a }}",
                                   "{{ a. }}",
                                   "{{ a[ }}",
                                   "{{ a[] }}",
                                   "{{ {1} }}",
                                   "{% set %}",
                                   "{% set a %}",
                                   "{% set a, b %}",
                                   "{{ $ }}",
                                   "{% raw %}",
                                   "{% macro %}",
                                   "{% macro f(a=1, b) %}{% endmacro %}",
                                   "{% break %}",
                                   "{{ 99999999999999999999 }}",
                                   "{{ '\\uZZZZ' }}",
                                   "{{ '\\U00110000' }}",
                                   "{{ a | }}",
                                   "{{ a is }}",
                                   "{{ \x01 }}"}) {
    failure(source);
  }
  CHECK_THROWS_AS(bq_llm::chat_template(std::string(2 << 20, 'x')), bq::error);
  // Bytes that are not UTF-8 pass through text.
  CHECK(bq_llm::chat_template("\xFF{{ '\xFE'[0] }}").render(nlohmann::ordered_json::array(), false) == "\xFF\xFE");
}

TEST_CASE("chat: a template cut off anywhere is rendered or refused") {
  const std::string source =
      "{%- for m in messages if m.role != 'x' -%}{{ m['content'] | trim ~ \"\\n\" }}{# c #}{% raw %}{{{% endraw %}"
      "{%- endfor -%}{% set a = namespace(b={'c': [1, 2][::-1]}) %}{% macro f(x, y=2) %}{{ x if y is odd else -y }}{% "
      "endmacro %}";
  for (std::size_t bytes = 0; bytes <= source.size(); ++bytes) {
    try {
      bq_llm::chat_template(source.substr(0, bytes)).render(nlohmann::ordered_json::array(), false);
    } catch (const bq::error& e) {
      CHECK(e.code() == bq::errc::bad_recipe);
    }
  }
}
