"""Words: on the command line, in configs, of tokens, and what becomes of them in pictures, captions and terminals."""

from harness import TINY, Trial

SMALL = TINY.replace("steps = 20", "steps = 5")


def tokens(name, operators, command="a.toml --figure 5", code=0, line="rule", numbers=11, **more):
    """A trial of a config with these operators."""
    shown = "[" + ", ".join('"' + "".join(f"\\U{ord(sign):08x}" for sign in word) + '"' for word in operators) + "]"
    text = SMALL.replace("[data]", f"[data]\nnumbers = {numbers}\noperators = {shown}")
    return Trial("tokens", name, command, code, line, files={"a.toml": text}, **more)


TOKENS = [
    tokens("CJK", ["+", "猫", "犬"], line="font lacks"), tokens("emoji", ["+", "🦊"], line="font lacks"),
    tokens("emoji of several signs", ["+", "👩‍👩‍👧"], code=(0, 2), line=""), tokens("Arabic", ["+", "مرحبا"]),
    tokens("Devanagari", ["+", "नमस्ते"], line=""), tokens("combining", ["+", "ä"], line=""),
    tokens("right to left marks", ["+", "\u202e"], code=2, line="signs or words"),
    tokens("a null byte", ["+", "\0"], code=2, line="signs or words"),
    tokens("escape codes", ["+", "\x1b[31m"], code=2, line="signs or words"),
    tokens("a backtick", ["+", "`"]), tokens("dollars", ["+", "$x^2$"]), tokens("HTML", ["+", "<b>"]),
    tokens("an arrow", ["->", "+"]), tokens("two dashes", ["--", "+"]), tokens("a brace", ["{", "}", "+"]),
    tokens("a percent", ["%s", "%", "+"]), tokens("a backslash", ["\\", "\\n", "+"]), tokens("quotes", ['"', "'", "+"]),
    tokens("long words", ["abcdefghijklmnopqrst", "+"]), tokens("many", [f"op{i}" for i in range(60)]),
    tokens("200 numbers", ["+"], numbers=200, slow=True), tokens("no operators", [], code=(0, 2), line=""),
    tokens("digits of others", ["٣", "+"], code=2, line="not numbers"), tokens("superscripts", ["²", "+"]),
    tokens("a private sign", ["\ue000", "+"], code=(0, 2), line=""), tokens("outside of the plane", ["𝔘", "+"]),
    tokens("CJK, all figures", ["+", "猫"], "a.toml", line="font lacks", slow=True),
    tokens("HTML, all figures", ["<b>", "+"], "a.toml"),
    tokens("a backtick, all figures", ["`", "+"], "a.toml"),
    tokens("CJK in a film", ["+", "猫"], "a.toml --video-qkv", line="films"),
    tokens("explain --", ["--", "+"], ("a.toml", "--explain=-- 5"), line="attention"),
    tokens("explain -- alone", ["--", "+"], ("a.toml", "--explain=--"), code=(0, 2), line="attention|missing"),
    tokens("ablate ->", ["->", "+"], ("a.toml", "--ablate", "v[->]"), code=(0, 2), line="."),
    tokens("ablate with arrows", ["->", "+"], ("a.toml", "--ablate", "attention[-> -> even]"), code=(0, 2), line="."),
    tokens("sequence of emoji", ["😀", "+"], ("a.toml", "--sequence", "😀 5 +", "--figure", "12"), line="rule"),
]


def escaped(folder, said, told):
    """Nothing of a stranger's stands raw in the captions or in an SVG."""
    for path in (folder / "out").rglob("*"):
        if path.suffix in (".md", ".svg"):
            text = path.read_text("utf-8")
            for bad in ("<script", "<img", "<b>x", "\x1b", "x](javascript"):
                if bad in text:
                    yield f"{path.name} holds {bad!r}"


def described(name, description, command="a.toml", code=0, line="rule", **more):
    """A trial of a config with this description."""
    shown = "".join(f"\\U{ord(sign):08x}" for sign in description)
    return Trial("descriptions", name, command, code, line, check=escaped,
                 files={"a.toml": SMALL.replace("[data]", f'description = "{shown}"\n[data]', 1)}, **more)


DESCRIPTIONS = [
    described("a script", "<script>alert(1)</script>", slow=True), described("an image", "<img src=x onerror=alert(1)>",
                                                                             slow=True),
    described("a link", "[x](javascript:alert(1))", slow=True), described("escape codes", "\x1b[31mred\x1b]0;t\x07"),
    described("backticks", "`a` ``b``", slow=True), described("newlines", "one\n\n# two", slow=True),
    described("SVG", "</svg><script>alert(1)</script>", "a.toml --figure 1 5 --format svg"),
    described("SVG with an entity", "&lt;b&gt; & <b>x", "a.toml --figure 1 3 --format svg"),
    described("maths", "$\\frac{1}{2$ ^ _", "a.toml --figure 1 5"), described("long", "x" * 10_000, "a.toml --figure 1"),
    described("CJK", "猫の規則", "a.toml --figure 1", line="font lacks|rule"),
    Trial("descriptions", "explained, with escape codes", ("a.toml", "--explain", "5 3"), 0, "reads", files={
        "a.toml": SMALL.replace("[data]", 'description = "\\u001b[31mred"\n[data]', 1)}),
    described("empty", "", "a.toml --figure 1"),
]

KEYS = [
    Trial("keys", name, "a.toml", 2, line, files={"a.toml": text})
    for name, text, line in [
        ("escape codes", '[model]\n"\\u001b[31mred" = 3\n', r"\\x1b\[31mred"),
        ("escape codes of a section", '["\\u001b]0;title\\u0007"]\na = 3\n', r"\\x1b\]0;title\\x07"),
        ("a newline", '[model]\n"a\\nb" = 3\n', "unknown key"), ("long", f'[model]\n{"k" * 5000} = 3\n', "unknown key"),
        ("a bell", '"\\u0007" = 3\n', r"\\x07"), ("C1 codes", '"\\u009b31m" = 3\n', r"\\x9b"),
        ("right to left", '"\\u202eabc" = 3\n', r"\\u202e"), ("a value", '[model]\nn_embd = "\\u001b[2J"\n', r"\\x1b"),
        ("deep", "a." * 500 + "b = 1\n", "unknown key|TOML"), ("many", "".join(f"k{i} = 1\n" for i in range(3)), "k0"),
    ]
]

BLAMES = [
    Trial("blame", name, f"{command} --figure 5", 2, line, out=True)
    for name, command, line in [
        ("a value of --set", "tiny.toml --set model.n_embd=0", "--set: model.n_embd"),
        ("--set against the file", "tiny.toml --set data.min_length=3", "^run.py: --set: data.min_length"),
        ("--set of the other one", "tiny.toml --set model.block_size=30", "--set: data.min_length"),
        ("--set of warm-up", "tiny.toml --set training.warmup_steps=30", "--set: training.warmup_steps"),
        ("--set of a share", "tiny.toml --set data.held_out_fraction=0.001", "--set: data.held_out_fraction"),
        ("--set of a rule", "tiny.toml --set data.rule=nothing", "--set: data.rule"),
        ("--set without a section", "tiny.toml --set n_embd=3", "--set n_embd=3: write section.key=value"),
        ("--set of nothing", "tiny.toml --set =", "write section.key=value"),
        ("--set of another section", "tiny.toml --set modle.n_embd=3", "did you mean"),
        ("--set of escape codes", ("tiny.toml", "--set", "model.\x1b[31m=3"), r"\\x1b"),
        ("--seed", "tiny.toml --seed -1", "--set: training.seed"),
        ("--seed of text", "tiny.toml --seed x", "--seed"),
    ] if isinstance(command, str)
]

LINES = [
    Trial("command lines", name, command, code, line, out=out, run=run)
    for name, command, code, line, out, run in [
        ("--fps 30 of a GIF", "tiny.toml --visualize --video --fps 30", 2, "20 or 25 is possible", True, True),
        ("--fps 40 of a GIF", "tiny.toml --visualize --video --fps 40", 2, "25 or 50 is possible", True, True),
        ("--fps 3 of a GIF", "tiny.toml --visualize --video --fps 3", 2, "2 or 4 is possible", True, True),
        ("--fps 25 of a GIF", "tiny.toml --visualize --video-qkv --fps 25", 0, "films", True, True),
        ("--seeds of a huge number", "tiny.toml --seeds 1000000000000000000", 2, "seeds", True, False),
        ("--seeds of 2**63", "tiny.toml --seeds 9223372036854775808", 2, "seeds", True, False),
        ("--seeds 0", "tiny.toml --seeds 0", 2, "at least 1", True, False),
        ("--prove-limit inf", "tiny.toml --visualize --prove --prove-limit inf", (0, 1), "contexts", True, True),
        ("--prove-limit nan", "tiny.toml --visualize --prove --prove-limit nan", 2, "above 0", True, True),
        ("--prove-limit -1", "tiny.toml --visualize --prove --prove-limit=-1", 2, "above 0", True, True),
        ("--dpi 10000", "tiny.toml --visualize --dpi 10000", 2, "10 to 1000", True, True),
        ("--step huge", "tiny.toml --visualize --step 99999999999999999999", 2, "no snapshot", True, True),
        ("--step negative", "tiny.toml --visualize --step=-1", 2, "no snapshot", True, True),
        ("--every huge", "tiny.toml --visualize --video-qkv --every 999999999999", 0, "films", True, True),
        ("--at of text", "tiny.toml --visualize --explain 5 --name scores --at x", 2, "--at", True, True),
        ("--at out of range", "tiny.toml --visualize --explain 5 --name scores --at 99,99", 2, "--at", True, True),
        ("a name of two dashes", "--", 2, "config", True, False), ("nothing", "", 2, "name a config", True, False),
        ("a config of escape codes", "\x1b[31m", 2, r"\\x1b", True, False),
        ("a flag of escape codes", "tiny.toml --\x1b[31m", 2, r"\\x1b", True, False),
        ("a figure of escape codes", "tiny.toml --figure \x1b[31m", 2, r"\\x1b", True, False),
        ("a sequence of escape codes", "tiny.toml --sequence \x1b[31m", 2, r"\\x1b", True, False),
        ("a long name", "x" * 5000, 2, "no config|cannot be read", True, False), ("not UTF-8", "\udcff", 2, "no config", True, False),
        ("block_size 64", "tiny.toml --figure 13 --set model.block_size=64 --set data.min_length=70 --set "
         "data.max_length=80", 0, "rule", True, False),
        ("a window of one", "tiny.toml --figure 5 6 --set model.block_size=1", 0, "rule", True, False),
        ("--trust of nothing", "--trust", 2, "name a config", True, False),
        ("float32", "tiny.toml --figure 5 --set training.dtype=float32", 0, "rule", True, False),
        ("gradcheck of large weights", "plus_last_even --gradcheck --set model.embedding_std=20 --set "
         "data.num_sequences=20 --set model.ffn_mult=2 --set model.block_size=3", 0, "all gradients right", False,
         False),
    ]
]


def chain(length):
    """Configs that extend one another."""
    files = {f"c{i}.toml": f'extends = "c{i + 1}.toml"\n' for i in range(length)}
    return files | {f"c{length}.toml": TINY}


EXTENDS = [
    Trial("chains of configs", f"{length} long", "c0.toml --figure 5", code, line, files=chain(length))
    for length, code, line in [(5, 0, "rule"), (200, (0, 2), "rule|more than"), (3000, 2, "extends more than")]
] + [
    Trial("chains of configs", name, "a.toml", 2, line, files=files)
    for name, files, line in [
        ("itself", {"a.toml": 'extends = "a.toml"\n'}, "extends itself"),
        ("a circle", {"a.toml": 'extends = "b.toml"\n', "b.toml": 'extends = "a.toml"\n'}, "extends itself"),
        ("a circle by another path", {"a.toml": 'extends = "x/../a.toml"\n', "x/y": ""}, "extends itself"),
        ("nothing", {"a.toml": 'extends = ""\n'}, "no config"), ("a list", {"a.toml": "extends = []\n"}, "a.toml|no"),
        ("escape codes", {"a.toml": 'extends = "\\u001b[31m"\n'}, r"\\x1b"),
    ]
]

TRIALS = [*TOKENS, *DESCRIPTIONS, *KEYS, *BLAMES, *LINES, *EXTENDS]
