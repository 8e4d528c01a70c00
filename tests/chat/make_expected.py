#!/usr/bin/env python3
"""Makes expected/*.json with Python's jinja2, set up as Hugging Face's transformers does for chat templates:

  expressions.json    [template, output] for the small templates below; null where jinja2 raises
  conversations.json  for each file in templates/: the outputs for all conversations, in turn; null where it raises

usage: make_expected.py     (needs the package jinja2)
"""
import json, pathlib
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise TemplateError(message)


ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception

EXPRESSIONS = r"""
{{ 1 + 2 * 3 - 4 // 3 }} {{ 7 / 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1e3 }}
{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1.5e3 if false else 100000.0 * 1000000000000.0 }} {{ 1 / 3 }} {{ 10 / 2 }} {{ -2 | abs }}
{{ true }} {{ none }} {{ [1, 'a', "it's", none, true, 1.5] }} {{ {'a': 1, 'b': [2]} }} {{ (1, 2) | list }}
{{ "a" ~ 1 ~ none ~ [1] }} {{ "ab" * 3 }} {{ 3 * "ab" }} {{ [1] * 2 }} {{ "a" + "b" }} {{ [1] + [2] }}
{{ not true or true and false }} {{ 1 < 2 }} {{ 1 < 2 and 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ "a" < "b" }}
{{ 1 if x }}|{{ 1 if x is defined else 2 }}|{{ x }}|{{ x | default("d") }}|{{ "" | default("e", true) }}
{{ x is undefined }} {{ x is none }} {{ none is none }} {{ 1 is number }} {{ true is number }} {{ "s" is string }}
{{ [] is iterable }} {{ {} is mapping }} {{ 3 is odd }} {{ 3 is not even }} {{ 9 is divisibleby 3 }} {{ 4 is in [1, 4] }}
{{ 'x' in 'xyz' }} {{ 'a' not in {'a': 1} }} {{ 2 in [1, 2] }} {{ not 2 in [1, 2] }} {{ 1 is boolean }} {{ true is boolean }}
{{ "abc"[0] }} {{ "abc"[-1] }} {{ "abcdef"[1:4] }} {{ "abcdef"[::-1] }} {{ "abcdef"[-3:] }} {{ [1, 2, 3, 4][::2] }} {{ "ab"[9] }}
{{ [1, 2, 3][:-1] }} {{ [1, 2, 3][5:] }} {{ [1, 2, 3][-100:2] }} {{ {'a': {'b': 2}}.a.b }} {{ {'a': [5]}['a'][0] }} {{ {'a': 1}.z }}
{{ x.y }}
{{ x.y.z }}
{{ 1 + "a" }}
{{ "b" + none }}
{{ [1, 2] < ["a"] }}
{{ nope() }}
{{ raise_exception("no") }}
{{ "  a b ".strip() }}|{{ "xxaxx".strip("x") }}|{{ "\n\na".lstrip("\n") }}|{{ "a  ".rstrip() }}|{{ " a " | trim }}|{{ "--a" | trim("-") }}
{{ "a,b,,c".split(",") }} {{ " a  b ".split() }} {{ "a,b,c".split(",", 1) }} {{ "a b c".split(none, 1) }} {{ "a,b,c".rsplit(",", 1) }}
{{ "a</t>b</t>c".split("</t>")[-1] }} {{ "abc".startswith("ab") }} {{ "abc".endswith(("x", "c")) }} {{ "aXbX".replace("X", "-") }}
{{ "aXbXc" | replace("X", "-", 1) }} {{ "ab".replace("", ".") }} {{ "hello".find("l") }} {{ "hello".rfind("l") }} {{ "hello".count("l") }}
{{ "hello world" | title }} {{ "hELLO" | capitalize }} {{ "a" | upper }} {{ "A".lower() }} {{ "it's" .title() }} {{ ", ".join(["a", "b"]) }}
{{ "a\nb\r\nc".splitlines() }} {{ "12".isdigit() }} {{ "".isdigit() }} {{ "pre-x".removeprefix("pre-") }} {{ "{} and {1}".format(1, 2) if false else "{0}-{1}".format("a", 2) }}
{{ [3, 1, 2] | sort }} {{ ["b", "A", "c"] | sort }} {{ [1, 2, 3] | sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}] | sort(attribute="n") }}
{{ [1, 2, 1] | unique | list }} {{ [1, 2, 3] | reverse | list }} {{ "abc" | reverse }} {{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ [] | first }}
{{ [1, 2, 3] | join("-") }} {{ [{'a': 1}, {'a': 2}] | map(attribute="a") | join(",") }} {{ ["a", "b"] | map("upper") | list }} {{ [1, 5] | max }} {{ [4, 2] | min }}
{{ [0, 1, 2] | select | list }} {{ [1, 2, 3] | select("odd") | list }} {{ [1, 2, 3] | reject("equalto", 2) | list }} {{ [1, 2, 3] | sum }}
{{ [{'r': 'u'}, {'r': 'a'}] | selectattr("r", "equalto", "u") | list }} {{ [{'r': 1}, {}] | selectattr("r", "defined") | list | length }} {{ none | map(attribute="x") | list }}
{% for k, v in {"b": 1, "a": 2} | dictsort %}{{ k }}{{ v }}{% endfor %} {{ {"b": 1} | items | map("last") | list }} {{ {"a": 1}.items() | map("first") | list }} {{ {'a': 1}.keys() | list }} {{ {'a': 1}.get('b', 3) }} {{ {'a': 1}.get('b') }}
{{ {'a': 1, 'items': 2}['items'] }} {{ "abc" | length }} {{ {'a': 1} | count }} {{ "h\u00e9" | length }} {{ "5" | int + 1 }} {{ "x" | int(7) }} {{ "2.5" | float }} {{ 2.7 | int }} {{ 2.5 | round }} {{ 2.567 | round(1) }}
{{ {'a': [1, {'b': none}], 'c': "q\"\u00e9<"} | tojson }} {{ [] | tojson }} {{ 1.0 | tojson }} {{ {"b": 1, "a": 2} | tojson(sort_keys=true) }} {{ "\u00e9" | tojson(ensure_ascii=true) }}
{{ {'a': [1, 2], 'b': {}} | tojson(indent=2) }}{{ [1, {"x": 2}] | tojson(separators=(",", ":")) }}
{{ "a\nb\n\nc" | indent }}|{{ "a\nb" | indent(2, true) }}|{{ "a\nb" | indent(width=1) }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}x{{ a }}{% endset %}{{ c }}{% set d | upper %}abc{% endset %}{{ d }}
{% set a = 1 %}{% for i in [1, 2] %}{% set a = i %}{{ a }}{% endfor %}{{ a }}{% if true %}{% set a = 9 %}{% endif %}{{ a }}
{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}
{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}{{ x }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }} {% else %}none{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %}{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}{% for c in "ab" %}[{{ c }}]{% endfor %}{% for k in {'z': 1} %}{{ k }}{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}{{ range(5, 0, -2) | list }}
{% for x in [1, 2, 3] %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle("a", "b") }}{% endfor %}
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}{% for i in [7] %}{{ m(i) }}{% endfor %}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}{{ m is defined }}
{% set g = 1 %}{% macro r() %}{{ g }}{% endmacro %}{% for g in [5] %}{{ r() }}{% endfor %}{% filter upper %}ab{{ g }}c{% endfilter %}
{% raw %}{{ not }} {% here %}{% endraw %}{# a comment #}x{#- another -#} y {{- " z" -}}  w
{{ "a" "b" }} {{ 'q"\'\\n\n\t\x41\u00e9' }} {{ {'a': {}} }} {{ {1: 2} }} {{ [1, 2,] }} {{ [[1, [2]]] }} {{ -1 }} {{ - 1 | abs }} {{ +3 }}
{{ 1 if true else 2 if false else 3 }} {{ (1 if false else 2) + 1 }} {{ 2 if false else 3 if false else 4 }}
{{ not x }} {{ not x is defined and true }} {{ "a" if x else "b" }} {{ x == y }} {{ x | length }} {{ x | upper }} {{ none == x }}
{% if x %}1{% elif "a" == "a" %}2{% elif true %}3{% else %}4{% endif %}{% if not x %}5{% endif %}
{{ dict(a=1, b=2) }} {{ dict({'z': 1}, y=2) }} {{ [1, 2].index(2) }} {{ "a.b" | replace(".", "") | upper ~ "c" }} {{ "a" | string | length + 1 }}
{% unknown %}
{{ 1 | unknown }}
{{ 1 is unknown }}
{{ (1 }}
{% if true %}
{{ "unclosed }}
"""
WHITESPACE = ["a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n   {% if true %}   \nb\n   {% endif %}\n  c\n\n", "  {{ 1 }}\n  {{ 2 }}\n",
              "x {%- if true -%} y {%- endif -%} z", "a\n  {%+ if true %}b{% endif +%}\n c", "a {# b #} c\n{# d #}\ne\n  {# f #}\ng",
              "a\r\n{% set x = 1 %}\r\nb\r\n", "{% for i in [1, 2] %}\n  - {{ i }}\n{% endfor %}\n", "\n\n{{ 1 }}\n\n", "{{ 1 -}}\n\n  x {{- 2 }}",
              "a{% raw %}\n {{ x }} \n{% endraw %}\nb", "{% if true %} {% if true %}\n x {% endif %} {% endif %}", "  {%- if true %}  a\n{%- endif %}  b"]

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Of a \"city\" <b>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "d\u00e9"}}, "required": ["city"]}}}]
CALLS = [{"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Paris", "n": 2}}}]


def say(role, content, **more):
    return {"role": role, "content": content, **more}


MESSAGES = [
    [say("user", "Hello")],
    [say("system", " Be brief. "), say("user", "Hi  \n"), say("assistant", " Yes.\n"), say("user", "Why? <|im_end|> \u4f60\u597d {{ x }}")],
    [say("user", "a"), say("assistant", "<think>\nhm\n</think>\n\nb"), say("user", "c")],
    [say("user", "a"), say("assistant", "<think>\nhm\n</think>\n\nb")],
    [say("user", "w?"), say("assistant", "", tool_calls=CALLS), say("tool", "sunny", tool_call_id="abcdefghi"), say("tool", "21 C", tool_call_id="abcdefghi"),
     say("assistant", "It is.")],
    [say("user", "w?"), say("assistant", None, tool_calls=CALLS * 2)],
    [say("user", [{"type": "text", "text": " part "}, {"type": "image"}])],
    [say("user", "a"), say("user", "b")],
    [say("critic", "bad")],
    [],
]
CONVERSATIONS = [{"messages": m, "add_generation_prompt": add, "extra": extra}
                 for m in MESSAGES
                 for add, extra in ((True, {}), (False, {"tools": TOOLS, "date_string": "2 Feb 2002"}), (True, {"enable_thinking": False, "tools": None}))]


def render(source, variables):
    try:
        return ENVIRONMENT.from_string(source).render(bos_token="<s>", eos_token="</s>", **variables)
    except Exception:
        return None


def store(name, content):
    (HERE / "expected" / name).write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n")


sources = [line for line in EXPRESSIONS.split("\n") if line] + WHITESPACE
store("expressions.json", [[s, render(s, {"messages": [], "add_generation_prompt": False})] for s in sources])
outputs = {}
for path in sorted(HERE.glob("templates/*.jinja")):
    outputs[path.stem] = [render(path.read_text(), {**c["extra"], "messages": c["messages"],
                                                    "add_generation_prompt": c["add_generation_prompt"]}) for c in CONVERSATIONS]
store("conversations.json", {"conversations": CONVERSATIONS, "outputs": outputs})
