"""The documentation names only what exists: files, links, commands and their flags, Python that compiles."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import parser as benchmarks_parser
from benchmarks.accuracy.precision import parser as precision_parser
from medicalseg.cli.main import VERBS, module_of

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("*.md", *(f"{folder}/**/*.md" for folder in ("docs", "configs", "examples", "test_tipc", "deploy")))
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
SCRIPTS = {f"tools/{verb}.py": verb for verb in VERBS} | {"deploy/python/infer.py": "infer"}
FOLDERS = ("benchmarks", "configs", "deploy", "docs", "examples", "medicalseg", "test_tipc", "tests", "tools", ".ci")
OTHER_FLAGS = {
    # of paddle.distributed.launch, pip, pytest, git, docker and other programs
    "--devices", "--nnodes", "--master", "--rank", "--log_dir", "--cov", "--editable", "--logdir", "--index-url",
    "--extra-index-url", "--version", "--backend",
}  # fmt: skip
NAMES_WHAT_IS_GONE = ("compatibility.md", "CHANGELOG.md")
MACHINE_PATH = re.compile(r"(?<![\w.~/:-])/(?:root|home|work|tmp|Users|mnt|var|opt)/\w")


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every fenced block."""
    for found in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
        yield found[2], "\n".join(line.removeprefix(found[1]) for line in found[3].splitlines())


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """Every command of the shell blocks as its words, without prompt, comment and environment."""
    for language, block in fenced(text):
        if language not in ("shell", "sh", "bash", "console"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for joined, part in itertools.groupby(words, key=lambda word: word in ("&&", "|", ";")):
                command = list(itertools.dropwhile(lambda word: re.fullmatch(r"\w+=.*", word), part))
                if command and not joined:
                    yield command


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser of a verb, as the command line builds it."""
    module = module_of(verb)
    parser = argparse.ArgumentParser(prog=verb, exit_on_error=False)
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true")
    return parser


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """All flags of a parser and its sub-commands."""
    flags = {name for action in parser._actions for name in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                flags |= flags_of(child)
    return flags


def check_verb(verb: str, words: list[str]) -> None:
    """The verb takes these words; a line with an ellipsis is checked for its flags only."""
    parser = parser_of(verb)
    if "--help" in words:
        return
    if any("…" in word or "..." in word for word in words):
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - flags_of(parser)
        assert not unknown, f"{verb} has no {unknown}"
    else:
        parsed = parser.parse_args(words)
        given = getattr(parsed, "config", None) or getattr(parsed, "file", None) or []
        for config in map(str, given if isinstance(given, list) else [given]):
            if config.startswith(FOLDERS) and not is_pattern(config):
                assert (ROOT / config).is_file(), f"{config} does not exist"


def is_pattern(path: str) -> bool:
    """Whether a part of the path, such as DATASET, stands for a name, or `plan` writes the file."""
    return path.startswith("configs/auto/") or any(part.isupper() for part in re.split(r"[/._]", path))


def check_script(words: list[str]) -> None:
    """A script of the project exists and takes these words."""
    script, arguments = words[0], words[1:]
    assert (ROOT / script).is_file(), f"{script} does not exist"
    if script in SCRIPTS:
        check_verb(SCRIPTS[script], arguments)
    elif script.startswith("tools/prepare_"):
        check_verb("prepare", [Path(script).stem.removeprefix("prepare_"), *arguments])
    else:
        source = (ROOT / script).read_text(encoding="utf-8")
        for word in arguments:
            if word.startswith("--"):
                assert f'"{word.partition("=")[0]}"' in source, f"{script} has no {word}"


def check_launch(words: list[str]) -> None:
    """`paddle.distributed.launch` before one of our scripts."""
    start = next(number for number, word in enumerate(words) if word.endswith(".py"))
    for word in words[:start]:
        if word.startswith("--"):
            assert word.partition("=")[0] in OTHER_FLAGS | {"--nproc_per_node"}, word
    check_script(words[start:])


def check_command(words: list[str]) -> None:
    """Every program of ours and every file of ours that a command names exists."""
    program, arguments = words[0], words[1:]
    if program == "medicalseg" and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in VERBS, f"no verb {arguments[0]}"
        check_verb(arguments[0], arguments[1:])
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        for target in arguments:
            assert "=" in target or target in targets, f"make has no target {target}"
    elif re.fullmatch(r"(.*/)?python3?", program) and arguments:
        if arguments[:2] == ["-m", "paddle.distributed.launch"]:
            check_launch(arguments[2:])
        elif arguments[:2] == ["-m", "benchmarks"]:
            benchmarks_parser().parse_args(arguments[2:])
        elif arguments[0].endswith(".py"):
            check_script(arguments)
    elif program == "bash" and arguments:
        assert (ROOT / arguments[0]).is_file(), f"{arguments[0]} does not exist"


def slugs(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def page_id(page: Path) -> str:
    """A page's name for the test report."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{target}: no such file"
        if anchor and path.suffix == ".md":
            assert anchor in slugs(path), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_exist(page):
    for words in commands(page.read_text(encoding="utf-8")):
        try:
            check_command(words)
        except (argparse.ArgumentError, SystemExit) as error:
            pytest.fail(f"{shlex.join(words)}: {error}")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in NAMES_WHAT_IS_GONE], ids=page_id)
def test_named_files_and_flags_exist(page):
    known = set(OTHER_FLAGS).union(*(flags_of(parser_of(verb)) for verb in VERBS))
    known |= flags_of(benchmarks_parser()) | flags_of(precision_parser())
    known |= set(re.findall(r'"(--[\w-]+)"', (ROOT / "tools/quickstart.py").read_text(encoding="utf-8")))
    for code in re.findall(r"`([^`\n]+)`", prose(page.read_text(encoding="utf-8"))):
        for flag in re.findall(r"(?:^|\s)(--[a-z][\w-]*)", code):
            assert flag in known, f"`{code}`: no flag {flag}"
        named = code.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and re.fullmatch(r"[\w./-]+", code)
        if named and not is_pattern(code):
            assert (ROOT / code).exists(), f"`{code}` does not exist"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_path_of_one_machine(page):
    assert not MACHINE_PATH.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_compiles(page):
    for language, block in fenced(page.read_text(encoding="utf-8")):
        if language in ("python", "py"):
            source = "\n".join(line[4:] for line in block.splitlines() if line[:4] in (">>> ", "... ", ">>>", "..."))
            compile(source or block, page_id(page), "exec")


def test_every_page_is_in_the_index():
    docs = ROOT / "docs"
    targets = re.findall(r"\]\(([^)\s]+)\)", (docs / "README.md").read_text(encoding="utf-8"))
    linked = {(docs / target.partition("#")[0]).resolve() for target in targets}
    results = re.findall(r"`(\w+\.md)`", (docs / "benchmarks/README.md").read_text(encoding="utf-8"))
    linked |= {docs / "benchmarks" / name for name in results}
    missing = [page_id(page) for page in docs.rglob("*.md") if page.name != "README.md" and page not in linked]
    assert not missing


def test_both_readmes_have_the_same_commands():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    assert list(commands(english)) == list(commands(chinese))
    assert english.count("\n## ") == chinese.count("\n## ")


@pytest.mark.parametrize("verb", ["train", "val", "export", "infer"])
def test_compatibility_page_names_every_flag(verb):
    page = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
    rows = "".join(line for line in page.splitlines() if line.startswith(f"| {verb} |"))
    missing = flags_of(parser_of(verb)) - set(re.findall(r"--?[\w-]+", rows)) - {"--help", "-h", "--debug"}
    assert not missing
