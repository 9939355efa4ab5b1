"""Makes the files of this folder: what `tokenizers` makes of texts, for some stacks and variants of them.

    pip install tokenizers==0.23.3
    python make_cases.py ../../../../shared/models/tokenizers .

The tokenizers are those of the shared folder (trained on the King James text, public domain).
Offsets are code points, as the library gives them.
"""

import copy
import json
import os
import sys
import tempfile

from tokenizers import Tokenizer

STACKS = ["llama3", "qwen2", "llama2_legacy", "gemma", "flags_nfc", "rare_strip_accents", "gpt2_prefix_space"]

TEXTS = [
    "", " ", "  \n", "Hello world", " In the beginning God created the heaven and the earth.",
    "I'm CAN'T  they'll\n\n  x=1;\tnaïve—ok\u00a0\u00a0HTMLParser e\u0301t  ", "12345 ٣٤٥ ½²", "你好，世界 123号",
    "\U0001e5d1c\U00031350 \ua7cb\u0897 \U00011f50", "한국어 각 \u1100\u1161\u11a8", "a\u0323\u0307 \u1e0b\u0323 \u0344",
    "👨\u200d👩\u200d👧 🇫🇷 ❤️", "\u3000x\u2003\u180e\u0085\u2028y", "▁▁a ▁ <0x0A> <unk>", "<|eot_id|>  the <|end_of_text|>",
    "<s>the</s> lord\n\n\n  \t<end_of_turn>", "\x00\x01\x7f\ufffd\uffff", "İSTANBUL ẞ ΣΑΣ ǅ", "  leading and trailing  ",
    "<l> <r> <lr>x <w> word wording cafe\u0301 caf\u00e9 <a><b><n>", "thethethethe" * 3, "\r\n\r\n a\r\tb", "ﬁ ① ｶﾞ Å",
]


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def added(token_id, content, **flags):
    token = {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}
    token.update(flags)
    return token


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
VOWEL = {"Regex": "[aeiou]+"}


def variants():
    """(name, base, changed parts)"""
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in [False, True]:
            yield (f"{behavior} {invert}", "llama3",
                   {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(VOWEL, behavior, invert), BYTES]}})
    for regex in [r"\w+", r"[\w]+", r"\W", r"[^\S\n]+", r"\p{N}{1,2}+", r"^\s*", r"\s+$", r"\b", r"(?i)the|E", r"[a-z&&[^aeiou]]+",
                  r"[\p{L}&&[^\p{Han}]]+", r"\p{Letter}+", r"\h+", r"[[:alpha:]]+|[[:punct:]]", r"a{,2}b", r"(?m:.)", r"x*",
                  r"\u00e9|\x{65}", r"(?<=\n)|(?=\p{Lu})", r"[a-c[x-z]]+"]:
        yield ("regex " + regex, "llama3",
               {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split({"Regex": regex}, "Isolated"), BYTES]}})
    for kind in ["NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Nmt"]:
        yield ("normalizer " + kind, "llama3", {"normalizer": {"type": kind}})
    yield ("strip", "llama2_legacy", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": "▁▁"}]}})
    for scheme in ["always", "first", "never"]:
        for cut in [True, False]:
            metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}
            yield (f"metaspace {scheme} {cut}", "llama2_legacy",
                   {"normalizer": None, "pre_tokenizer": metaspace, "decoder": metaspace})
    for name, step in [("digits", {"type": "Digits", "individual_digits": False}),
                       ("punctuation", {"type": "Punctuation", "behavior": "MergedWithNext"}),
                       ("whitespace", {"type": "Whitespace"}), ("bert", {"type": "BertPreTokenizer"}),
                       ("delimiter", {"type": "CharDelimiterSplit", "delimiter": "e"}),
                       ("fixed", {"type": "FixedLength", "length": 3})]:
        yield ("pre " + name, "rare_strip_accents", {"pre_tokenizer": step})
    yield ("no fallback", "llama2_legacy", {"model": {"byte_fallback": False}})
    yield ("no fallback, no fusing", "llama2_legacy", {"model": {"byte_fallback": False, "fuse_unk": False}})
    yield ("whole words", "llama2_legacy", {"model": {"ignore_merges": True}})
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                                   "</s>": {"id": "</s>", "ids": [2, 1], "tokens": ["</s>", "<s>"]}}}
    trim = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    yield ("template then trim", "llama2_legacy", {"post_processor": {"type": "Sequence", "processors": [template, trim]}})
    yield ("trim then template", "llama2_legacy", {"post_processor": {"type": "Sequence", "processors": [trim, template]}})
    yield ("bert post", "llama2_legacy", {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}})
    yield ("no decoder", "llama2_legacy", {"decoder": None})
    yield ("strip decoder", "llama2_legacy", {"decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"Regex": "▁+"}, "content": " "}, {"type": "Strip", "content": " ", "start": 2, "stop": 0},
        {"type": "ByteFallback"}]}})
    yield ("added", "llama3", {"added_tokens": [
        added(430, "the", lstrip=True, rstrip=True), added(431, " x"), added(432, "\n\n", single_word=True),
        added(433, "LORD", normalized=True, special=True), added(434, "<|eot_id|>", special=True, rstrip=True),
        added(999, "é", single_word=True)], "normalizer": {"type": "Lowercase"}, "post_processor": None})


def cases(tokenizer):
    result = []
    for text in TEXTS:
        plain = tokenizer.encode(text, add_special_tokens=False)
        full = tokenizer.encode(text)
        tokenizer.encode_special_tokens = True
        as_text = tokenizer.encode(text, add_special_tokens=False)
        tokenizer.encode_special_tokens = False
        result.append({"ids": full.ids, "tokens": full.tokens, "offsets": [edge for pair in full.offsets for edge in pair],
                       "decode": tokenizer.decode(full.ids, skip_special_tokens=False),
                       "decode_skip": tokenizer.decode(full.ids), "ids_without_template": plain.ids,
                       "ids_specials_as_text": as_text.ids})
    return result


def fnv(chunks):
    """FNV-1a, 32 bits, over bytes."""
    value = 0x811C9DC5
    for byte in chunks:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def fnv_numbers(numbers):
    return fnv(byte for number in numbers for byte in number.to_bytes(4, "little"))


def load(config):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        return Tokenizer.from_file(path)


def write(path, content):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def main(shared, out):
    configs = {}
    for name in STACKS:
        with open(os.path.join(shared, name, "tokenizer.json"), encoding="utf-8") as file:
            configs[name] = json.load(file)
        write(os.path.join(out, name + ".json"), configs[name])
    write(os.path.join(out, "texts.json"), TEXTS)
    write(os.path.join(out, "cases.json"), {name: cases(load(configs[name])) for name in STACKS})
    listed = []
    for name, base, changes in variants():
        config = copy.deepcopy(configs[base])
        for key, value in changes.items():
            if key == "model":
                config["model"].update(value)
            else:
                config[key] = value
        listed.append({"name": name, "base": base, "changes": changes,
                       "cases": [{"ids": case["ids"], "offsets_fnv": fnv_numbers(case["offsets"]),
                                  "decode_fnv": fnv(case["decode"].encode())} for case in cases(load(config))]})
    write(os.path.join(out, "variants.json"), listed)


main(sys.argv[1], sys.argv[2])
