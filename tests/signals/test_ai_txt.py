from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals._paths import canonical, split_url
from heedful.signals.ai_txt import FAULTS_MAX, PATHS, RULES_MAX, parse
from heedful.signals.robots import ROBOTS_MAX

SOURCE = Source("http://127.0.0.1/ai.txt", "ab", 1.0)
TOKEN = "PictureBot"
DENY, ALLOW = Preference.DISALLOW, Preference.ALLOW


def read(text: str | bytes, target: str = "/a.jpg", media_type: str | None = None, token=TOKEN) -> Reading:
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return parse(body).read(token, target, SOURCE, media_type)


def said(reading: Reading) -> Preference | None:
    assert len(reading.statements) <= 1
    return reading.statements[0].preference if reading.statements else None


def warned(reading: Reading) -> list[str]:
    return [warning.evidence.where for warning in reading.warnings]


# -- dialect A -------------------------------------------------------------------------------------------


def rules(*lines: str) -> str:
    return "\n".join(["User-Agent: *", *lines])


GENERATED = """\
# Spawning AI
# Prevent datasets from using the following file types

User-Agent: *
Disallow: *.jpg
Disallow: *.gif
Allow: *.png
Allow: *.webp
/
"""


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        pytest.param(GENERATED, "/a.jpg", DENY, id="generated-disallow"),
        pytest.param(GENERATED, "/a/b.png", ALLOW, id="generated-allow"),
        pytest.param(GENERATED, "/a.avif", None, id="generated-not-named"),
        pytest.param(rules("Disallow: /"), "/a.jpg", DENY, id="everything"),
        pytest.param(rules("Disallow: *"), "/a.jpg", DENY, id="everything-by-star"),
        pytest.param(rules("Allow: /"), "/a.jpg", ALLOW, id="everything-allowed"),
        pytest.param(rules("Disallow:"), "/a.jpg", None, id="empty-disallow"),
        pytest.param(rules("Allow:"), "/a.jpg", None, id="empty-allow"),
        pytest.param("User-Agent: *", "/a.jpg", None, id="no-rules"),
        pytest.param(rules("Disallow: *.jpg"), "/a.jpg?x=1", DENY, id="query-after-extension"),
        pytest.param(rules("Disallow: *.jpg"), "/a.php?f=b.jpg", DENY, id="extension-in-query"),
        pytest.param(rules("Disallow: *.jpg"), "/a.jpg/b", DENY, id="extension-of-folder"),
        pytest.param(rules("Disallow: *.jpg"), "/a.jpeg", None, id="other-extension"),
        pytest.param(rules("Disallow: *.jpg"), "/ajpg", None, id="no-dot"),
        # longest match
        pytest.param(rules("Disallow: /", "Allow: *.jpg"), "/a.jpg", ALLOW, id="longer-allow"),
        pytest.param(rules("Allow: /", "Disallow: *.jpg"), "/a.jpg", DENY, id="longer-disallow"),
        pytest.param(rules("Disallow: *.jpg", "Allow: /open/"), "/open/a.jpg", ALLOW, id="longer-folder"),
        pytest.param(rules("Allow: *.jpg", "Disallow: *.jpg*"), "/a.jpg", DENY, id="trailing-star-is-longer"),
        # a tie denies
        pytest.param(rules("Disallow: *.jpg", "Allow: *.jpg"), "/a.jpg", DENY, id="tie"),
        pytest.param(rules("Allow: *.jpg", "Disallow: *.jpg"), "/a.jpg", DENY, id="tie-reversed"),
        pytest.param(rules("Allow: *", "Disallow: /"), "/a.jpg", DENY, id="tie-of-different-patterns"),
        # extensions have no case, paths do
        pytest.param(rules("Disallow: *.jpg"), "/a.JPG", DENY, id="extension-case"),
        pytest.param(rules("Disallow: *.JPG"), "/a.jpg", DENY, id="pattern-case"),
        pytest.param(rules("Allow: *.Png"), "/a.pNG", ALLOW, id="allow-case"),
        pytest.param(rules("Disallow: /art/*.jpg"), "/art/a.JPG", DENY, id="extension-case-in-folder"),
        pytest.param(rules("Disallow: /art/*.jpg"), "/Art/a.JPG", None, id="folder-case"),
        pytest.param(rules("Disallow: /a.jpg"), "/a.JPG", DENY, id="extension-case-of-one-file"),
        pytest.param(rules("Disallow: /a.jpg"), "/A.jpg", None, id="name-case"),
        pytest.param(rules("Disallow: *b.jpg"), "/a.JPG/ab.JPG", DENY, id="extension-case-second-match"),
        pytest.param(rules("Disallow: *b.jpg"), "/aB.jpg", None, id="part-case"),
        pytest.param(rules("Disallow: *b*c.jpg"), "/bc.JPG", DENY, id="two-stars"),
        pytest.param(rules("Disallow: *b*c.jpg"), "/cb.jpg", None, id="two-stars-reversed"),
        pytest.param(rules("Disallow: *bc*c.jpg"), "/bc.jpg", None, id="parts-do-not-overlap"),
        pytest.param(rules("Disallow: *.jpg*"), "/a.JPG?x", DENY, id="extension-case-before-star"),
        pytest.param(rules("Disallow: *.j*g"), "/a.jpeg", DENY, id="star-in-extension"),
        # `$` is an ordinary character
        pytest.param(rules("Disallow: *.jpg$"), "/a.jpg", None, id="dollar-is-no-anchor"),
        pytest.param(rules("Disallow: *.jpg$"), "/a.jpg%24", DENY, id="dollar-literal"),
        pytest.param(rules("Disallow: /a$"), "/a%24b.jpg", DENY, id="dollar-in-prefix"),
        # the grammar of robots.txt
        pytest.param(rules("Disallow: /a%2fb"), "/a/b", None, id="slash-kept"),
        pytest.param(rules("Disallow: /%61"), "/a.jpg", DENY, id="unreserved-decoded"),
        pytest.param(rules("Disallow: /\xe9"), "/%C3%A9.jpg", DENY, id="not-ascii"),
        pytest.param(rules("Disallow: /\udce9"), "/%E9.jpg", DENY, id="latin-1"),
        pytest.param(rules("Disallow: *.jpg # no"), "/a.jpg", DENY, id="comment"),
        pytest.param(rules("# Disallow: *.jpg"), "/a.jpg", None, id="comment-line"),
        pytest.param(rules("  disallow :*.jpg  "), "/a.jpg", DENY, id="white-space-and-case"),
        pytest.param(rules("Disalow: *.jpg"), "/a.jpg", DENY, id="misspelt"),
        pytest.param("User-agent *\nDisallow /", "/a.jpg", DENY, id="no-colons"),
        pytest.param("\ufeff" + rules("Disallow: /"), "/a.jpg", DENY, id="byte-order-mark"),
        pytest.param(rules("Disallow: *.jpg").replace("\n", "\r\n"), "/a.jpg", DENY, id="crlf"),
        pytest.param(rules("Disallow: *.jpg").replace("\n", "\r"), "/a.jpg", DENY, id="cr"),
        pytest.param(rules("/", "", "junk", "Disallow: *.jpg", "/"), "/a.jpg", DENY, id="junk"),
        pytest.param(rules("Sitemap: x", "Disallow: *.jpg"), "/a.jpg", DENY, id="record"),
        pytest.param(rules("Disallow: .jpg"), "/a.jpg", None, id="pattern-starts-with-neither"),
        pytest.param("Disallow: /", "/a.jpg", None, id="before-first-group"),
        pytest.param("## AI\n\n" + rules("Disallow: /"), "/a.jpg", DENY, id="markdown-heading"),
    ],
)
def test_rules(text, target, expected):
    assert said(read(text, target)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("User-Agent: PictureBot\nDisallow: /", DENY, id="ours"),
        pytest.param("User-Agent: PICTUREBOT/2.0\nDisallow: /", DENY, id="ours-case-and-version"),
        pytest.param("User-Agent: OtherBot\nDisallow: /", None, id="another's"),
        pytest.param("User-Agent: Picture\nDisallow: /", None, id="part-of-ours"),
        pytest.param(
            "User-Agent: *\nDisallow: /\n\nUser-Agent: PictureBot\nAllow: /", ALLOW, id="ours-replaces-star"
        ),
        pytest.param(
            "User-Agent: PictureBot\nAllow: /x\n\nUser-Agent: *\nDisallow: /", None, id="no-inheritance"
        ),
        pytest.param(
            "User-Agent: *\nAllow: /\n\nUser-Agent: *\nDisallow: *.jpg", DENY, id="star-groups-merged"
        ),
        pytest.param("User-Agent: OtherBot\nUser-Agent: *\nDisallow: /", DENY, id="run"),
    ],
)
def test_groups(text, expected):
    assert said(read(text)) is expected


JPG = rules("Disallow: *.jpg", "Allow: *.png", "Allow: /open/")


@pytest.mark.parametrize(
    ("text", "target", "media_type", "expected"),
    [
        pytest.param(JPG, "/a", None, None, id="type-not-known"),
        pytest.param(JPG, "/a", "image/jpeg", DENY, id="jpeg"),
        pytest.param(JPG, "/a", "Image/JPEG ; q=1", DENY, id="parameter-and-case"),
        pytest.param(JPG, "/a", "image/jpg", DENY, id="misnamed-type"),
        pytest.param(JPG, "/a", "image/png", ALLOW, id="png"),
        pytest.param(JPG, "/a", "image/x-png", ALLOW, id="x-png"),
        pytest.param(JPG, "/a", "image/webp", None, id="no-rule-for-type"),
        pytest.param(JPG, "/a?w=1", "image/jpeg", DENY, id="before-the-query"),
        pytest.param(JPG, "/a?f=b.c", "image/jpeg", DENY, id="dot-in-query"),
        pytest.param(JPG, "/v1.2/a", "image/jpeg", DENY, id="dot-in-folder"),
        pytest.param(JPG, "/v1.2/", "image/jpeg", DENY, id="empty-last-segment"),
        pytest.param(JPG, "/a.gif", "image/jpeg", None, id="has-an-extension"),
        pytest.param(JPG, "/a.", "image/jpeg", None, id="has-a-dot"),
        pytest.param(JPG, "/open/a", "image/png", ALLOW, id="allowed-twice"),
        pytest.param(rules("Allow: /", "Disallow: *.jpg"), "/a", "image/jpeg", DENY, id="deny-over-allow"),
        pytest.param(rules("Disallow: /", "Allow: *.jpg"), "/a", "image/jpeg", DENY, id="first-check-denies"),
        pytest.param(rules("Allow: *.jpg", "Disallow: *.jpe"), "/a", "image/jpeg", DENY, id="any-extension"),
        pytest.param(rules("Disallow: *.tif"), "/a", "image/tiff", DENY, id="tiff"),
        pytest.param(rules("Disallow: *.svg"), "/a", "image/svg+xml", DENY, id="svg"),
        pytest.param(rules("Disallow: *.ico"), "/a", "image/x-icon", DENY, id="ico"),
        pytest.param(rules("Disallow: *.avif"), "/a", "image/avif", DENY, id="avif"),
        pytest.param(rules("Disallow: *.jxl"), "/a", "image/jxl", DENY, id="named-alike"),
        pytest.param(rules("Disallow: *."), "/a", "image/a.b", None, id="subtype-is-no-extension"),
        pytest.param(rules("Disallow: *."), "/a", "image/", None, id="no-subtype"),
        pytest.param(rules("Disallow: *."), "/a", "text/html", None, id="no-image"),
        pytest.param(rules("Disallow: *.jpeg"), "/a", "video/jpeg", None, id="video"),
        pytest.param(rules("Disallow: *."), "/a", "", None, id="empty-type"),
    ],
)
def test_media_type(text, target, media_type, expected):
    assert said(read(text, target, media_type)) is expected


def test_a_rule_is_evidence():
    (statement,) = read(GENERATED).statements
    assert statement.signal is Reason.AI_TXT
    assert statement.rule == "Disallow: *.jpg"
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.strength is Strength.EXPLICIT
    assert statement.switch is None
    assert statement.evidence == Evidence(SOURCE.url, "line 5", "Disallow: *.jpg", "ab", 1.0)


# -- dialect B -------------------------------------------------------------------------------------------

SITE = "Site-Name: Art\nSite-URL: https://127.0.0.1\n"


@pytest.mark.parametrize(
    ("text", "expected", "lines"),
    [
        pytest.param(SITE + "Training: allow", ALLOW, [], id="allow"),
        pytest.param(SITE + "Training: deny", DENY, [], id="deny"),
        pytest.param(SITE + "Training: conditional", DENY, [], id="conditional-without-globs"),
        pytest.param(SITE, DENY, [], id="missing"),
        pytest.param(SITE + "TRAINING:Allow", ALLOW, [], id="case"),
        pytest.param(SITE + "Training : allow", ALLOW, [], id="white-space"),
        pytest.param(SITE + "Training: allow # of course", ALLOW, [], id="comment"),
        pytest.param(SITE + "#Training: allow", DENY, [], id="comment-line"),
        pytest.param(SITE + "Training:", DENY, ["line 3"], id="empty"),
        pytest.param(SITE + "Training: yes", DENY, ["line 3"], id="other-value"),
        pytest.param(SITE + "Training: invalid", DENY, ["line 3"], id="the-word-invalid"),
        pytest.param(SITE + "Training: allow\nTraining: deny", DENY, [], id="twice"),
        pytest.param(SITE + "Training: deny\nTraining: allow", DENY, [], id="twice-reversed"),
        pytest.param(SITE + "Training: allow\nTraining: no", DENY, ["line 4"], id="error-beside-allow"),
        pytest.param(SITE + "Scraping: deny\nTraining: allow", ALLOW, [], id="other-fields"),
        pytest.param("Training: allow\n\n" + SITE, ALLOW, [], id="order"),
        pytest.param("\ufeff" + SITE + "Training: allow", ALLOW, [], id="byte-order-mark"),
        pytest.param((SITE + "Training: allow").replace("\n", "\r\n"), ALLOW, [], id="crlf"),
        # malformed: it can only deny
        pytest.param("Training: deny", DENY, ["file"], id="malformed-deny"),
        pytest.param("Training: allow", None, ["file"], id="malformed-allow"),
        pytest.param("Training: conditional", None, ["file"], id="malformed-conditional"),
        pytest.param("Training: no", None, ["file", "line 1"], id="malformed-other-value"),
        pytest.param("Training-Deny: /a*", DENY, ["file"], id="malformed-glob"),
        pytest.param("Training-Deny: /b*", None, ["file"], id="malformed-glob-elsewhere"),
        pytest.param(
            "Training-Allow: /a.jpg\nTraining-Deny: /*", DENY, ["file"], id="malformed-longer-allow"
        ),
        pytest.param("Site-Name: Art\nTraining: allow", None, ["file"], id="no-site-url"),
        pytest.param("Site-URL: http://a\nTraining: allow", None, ["file"], id="no-site-name"),
        pytest.param("Site-Name:\nSite-URL: x\nTraining: allow", None, ["file"], id="empty-site-name"),
        pytest.param("Site-Name: Art", None, ["file"], id="site-name-alone"),
        pytest.param("Agent: PictureBot\n  Training: allow", None, ["file"], id="agent-alone"),
        pytest.param("Agent: *\n  Training: deny", DENY, ["file"], id="agent-alone-denies"),
        pytest.param(
            "Training: deny\nAgent: PictureBot\n  Training: allow", DENY, ["file"], id="malformed-agent"
        ),
    ],
)
def test_fields(text, expected, lines):
    reading = read(text)
    assert said(reading) is expected
    assert warned(reading) == lines


@pytest.mark.parametrize(
    ("training", "globs", "target", "expected"),
    [
        pytest.param("conditional", ["+/free/*"], "/free/a.jpg", ALLOW, id="allowed"),
        pytest.param("conditional", ["+/free/*"], "/a.jpg", DENY, id="no-match-denies"),
        pytest.param("conditional", ["-/paid/*"], "/paid/a.jpg", DENY, id="denied"),
        pytest.param("conditional", ["-/paid/*"], "/a.jpg", DENY, id="no-allow-at-all"),
        pytest.param("conditional", ["+/**", "-/paid/*"], "/paid/a.jpg", DENY, id="longest-denies"),
        pytest.param("conditional", ["-/*", "+/free/*"], "/free/a.jpg", ALLOW, id="longest-allows"),
        pytest.param("conditional", ["+/a/*", "-/a/*"], "/a/b.jpg", DENY, id="tie"),
        pytest.param("conditional", ["+/a/*", "-/*/b"], "/a/b", DENY, id="tie-of-different-globs"),
        pytest.param("conditional", ["+/a/**", "-/a/*"], "/a/b", DENY, id="two-stars-are-no-longer"),
        # Deny counts always, Allow when conditional
        pytest.param("allow", ["-/paid/*"], "/paid/a.jpg", DENY, id="deny-under-allow"),
        pytest.param("allow", ["-/paid/*"], "/a.jpg", ALLOW, id="deny-elsewhere"),
        pytest.param("allow", ["-/paid/*", "+/paid/a.jpg"], "/paid/a.jpg", DENY, id="allow-under-allow"),
        pytest.param("deny", ["+/free/*"], "/free/a.jpg", DENY, id="allow-under-deny"),
        # what an allow may mean, and what a deny may mean
        pytest.param("conditional", ["+/a/*"], "/a/b/c.jpg", DENY, id="allow-star-one-folder"),
        pytest.param("conditional", ["+/a/**"], "/a/b/c.jpg", ALLOW, id="allow-two-stars"),
        pytest.param("conditional", ["+/*/c.jpg"], "/b/c.jpg", ALLOW, id="allow-star-for-folder"),
        pytest.param("conditional", ["+/a/*.jpg"], "/a/b.jpg?x=1/2", ALLOW, id="allow-query-left-out"),
        pytest.param("conditional", ["+/a/*.jpg"], "/a/b.php?f=c.jpg", DENY, id="allow-not-by-query"),
        pytest.param("conditional", ["+/a?b=*"], "/a?b=1", ALLOW, id="allow-for-query"),
        pytest.param("conditional", ["+/a?.jpg"], "/ab.jpg", DENY, id="allow-question-mark"),
        pytest.param("conditional", ["+/a"], "/a/b.jpg", DENY, id="allow-no-prefix"),
        pytest.param("conditional", ["+/a/"], "/a/b.jpg", DENY, id="allow-folder"),
        pytest.param("conditional", ["+a/*"], "/a/b.jpg", DENY, id="allow-relative"),
        pytest.param("conditional", ["+*.jpg"], "/a.jpg", DENY, id="allow-extension-of-no-folder"),
        pytest.param("conditional", ["+**.jpg"], "/a/b.jpg", ALLOW, id="allow-extension"),
        pytest.param("conditional", ["+/$"], "/%24", ALLOW, id="allow-dollar"),
        pytest.param("conditional", ["+/a$"], "/a", DENY, id="allow-dollar-is-no-anchor"),
        pytest.param("conditional", ["+/%61/\xe9*"], "/a/%C3%A9.jpg", ALLOW, id="allow-percent"),
        pytest.param("conditional", ["+/A/*"], "/a/b.jpg", DENY, id="allow-case"),
        pytest.param("allow", ["-/a/*"], "/a/b/c.jpg", DENY, id="deny-star-all-folders"),
        pytest.param("allow", ["-/a/**/c.jpg"], "/a/c.jpg", DENY, id="deny-no-folder"),
        pytest.param("allow", ["-/a"], "/a/b.jpg", DENY, id="deny-folder"),
        pytest.param("allow", ["-/a/"], "/a/b.jpg", DENY, id="deny-folder-with-slash"),
        pytest.param("allow", ["-/a"], "/ab.jpg", ALLOW, id="deny-no-prefix"),
        pytest.param("allow", ["-/"], "/a.jpg", DENY, id="deny-root"),
        pytest.param("allow", ["-*.jpg"], "/a/b.jpg?x", DENY, id="deny-extension"),
        pytest.param("allow", ["-*.jpg"], "/a.jpg.png", ALLOW, id="deny-anchored"),
        pytest.param("allow", ["-a/*"], "/a/b.jpg", DENY, id="deny-relative"),
        pytest.param("allow", ["-/a?.jpg"], "/ab.jpg", DENY, id="deny-question-mark"),
        pytest.param("allow", ["-/a?b=*"], "/a?b=1", DENY, id="deny-for-query"),
        pytest.param("allow", ["-/a.jpg$"], "/a.jpg", ALLOW, id="deny-dollar-is-no-anchor"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_globs(training, globs, target, expected, form):
    if form == "text":
        lines = [("Training-Allow: " if glob[0] == "+" else "Training-Deny: ") + glob[1:] for glob in globs]
        body = SITE + "\n".join([f"Training: {training}", *lines])
    else:
        paths = {
            "allow": [glob[1:] for glob in globs if glob[0] == "+"],
            "deny": [glob[1:] for glob in globs if glob[0] == "-"],
        }
        body = json.dumps(document({"training": training}, trainingPaths=paths))
    assert said(read(body, target)) is expected


def test_faulty_globs_are_warned_of():
    text = SITE + "Training-Deny:\nTraining-Allow: x/*\nTraining: allow"
    assert warned(read(text)) == ["line 3", "line 4"]


@pytest.mark.parametrize(
    ("site", "blocks", "expected"),
    [
        pytest.param("allow", "Agent: PictureBot\n  Training: deny", DENY, id="ours"),
        pytest.param("deny", "Agent: PictureBot\n  Training: allow", ALLOW, id="ours-allows"),
        pytest.param("deny", "Agent: picturebot\n\tTraining: allow", ALLOW, id="case-and-tab"),
        pytest.param("allow", "Agent: PictureBot/1.0 (x)\n Training: deny", DENY, id="version-and-one-space"),
        pytest.param("deny", "Agent: Picture\n  Training: allow", DENY, id="part-of-ours"),
        pytest.param("allow", "Agent: GPTBot\n  Training: deny", ALLOW, id="another's"),
        pytest.param("allow", "Agent: *\n  Training: deny", DENY, id="star"),
        pytest.param("deny", "Agent: *\n  Training: allow", ALLOW, id="star-allows"),
        pytest.param(
            "deny", "Agent: *\n  Training: deny\nAgent: PictureBot\n  Training: allow", ALLOW, id="ours-first"
        ),
        pytest.param(
            "allow", "Agent: PictureBot\n  Scraping: allow\nAgent: *\n  Training: deny", ALLOW, id="one-block"
        ),
        pytest.param("allow", "Agent: PictureBot\n  Rate-Limit: 1/day", ALLOW, id="field-not-overridden"),
        pytest.param("allow", "Agent: PictureBot\n  Training: never", DENY, id="other-value"),
        pytest.param("conditional", "Agent: PictureBot\n  Training: allow", ALLOW, id="over-conditional"),
        pytest.param("allow", "Agent: PictureBot\n  Training: conditional", DENY, id="conditional"),
        pytest.param(
            "conditional", "Agent: PictureBot\n  Training-Allow: /a*", ALLOW, id="glob-in-the-block"
        ),
        pytest.param(
            "allow", "Agent: PictureBot\n  Training-Deny: /a*", DENY, id="denying-glob-in-the-block"
        ),
        pytest.param(
            "deny",
            "Agent: PictureBot\n  Training: allow\n\nTraining-Deny: /a*",
            DENY,
            id="denying-glob-of-the-site",
        ),
        pytest.param(
            "allow",
            "Agent: PictureBot\n  Training: allow\nAgent: PictureBot\n  Training: deny",
            DENY,
            id="two-blocks",
        ),
        pytest.param(
            "deny", "Agent: PictureBot\n\n# x\n  # y\n  Training: allow", ALLOW, id="blank-and-comment-lines"
        ),
        pytest.param(
            "deny", "Agent: PictureBot\nContact: x\n  Training: allow", DENY, id="block-ended-by-field"
        ),
        pytest.param("allow", "Contact: x\n  Training: deny", DENY, id="stray-indented-deny"),
        pytest.param("allow", "Contact: x\n  Training-Deny: /a*", DENY, id="stray-indented-glob"),
        pytest.param("deny", "  Training: allow", DENY, id="stray-indented-allow"),
        pytest.param("allow", "Agent: PictureBot\nTraining: deny", DENY, id="not-indented"),
        pytest.param("allow", "Agent:\n  Training: deny", DENY, id="without-a-name"),
        pytest.param("deny", "Agent:\n  Training: allow", DENY, id="without-a-name-allows"),
        pytest.param("deny", "Agent: \u212aBot\n  Training: allow", DENY, id="kelvin-sign"),
    ],
)
def test_agents(site, blocks, expected):
    assert said(read(f"{SITE}Training: {site}\n{blocks}", token=TOKEN)) is expected


def test_agent_names_keep_other_scripts():
    assert said(read(f"{SITE}Training: deny\nAgent: \u212aBot\n  Training: allow", token="KBot")) is DENY


def test_a_site_name_of_an_agent_is_not_the_sites():
    reading = read("Site-URL: x\nAgent: *\n  Site-Name: Art\n  Training: allow")
    assert said(reading) is None
    assert warned(reading) == ["file"]


def test_an_indented_site_name_is_not_the_sites():
    reading = read("  Site-Name: Art\n  Site-URL: http://127.0.0.1\n  Training: allow")
    assert said(reading) is None
    assert warned(reading) == ["file", "line 1", "line 2", "line 3"]


@pytest.mark.parametrize(
    ("lines", "rule", "where", "raw"),
    [
        pytest.param("Training: Deny", "Training: deny", "line 3", "Training: Deny", id="deny"),
        pytest.param("Training: allow", "Training: allow", "line 3", "Training: allow", id="allow"),
        pytest.param("", "Training: deny (by default)", "line 1", "Site-Name: Art", id="missing"),
        pytest.param("Training: x", "Training: deny (by default)", "line 3", "Training: x", id="error"),
        pytest.param(
            "Training: allow\nTraining-Deny: /*",
            "Training-Deny: /*",
            "line 4",
            "Training-Deny: /*",
            id="glob",
        ),
        pytest.param(
            "Training: conditional",
            "Training: conditional, and no glob allows it",
            "line 3",
            "Training: conditional",
            id="no-glob",
        ),
        pytest.param(
            "Agent: *\n  Training: deny",
            "Agent: *, Training: deny",
            "line 4",
            "  Training: deny",
            id="agent",
        ),
    ],
)
def test_a_field_is_evidence(lines, rule, where, raw):
    (statement,) = read(SITE + lines).statements
    assert statement.rule == rule
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.evidence == Evidence(SOURCE.url, where, raw, "ab", 1.0)


# -- dialect B as JSON -----------------------------------------------------------------------------------


def document(policies: object = None, **others: object) -> dict[str, object]:
    data: dict[str, object] = {"specVersion": "1.0", "site": {"name": "Art", "url": "https://127.0.0.1"}}
    if policies is not None:
        data["policies"] = policies
    return {**data, **others}


@pytest.mark.parametrize(
    ("data", "expected", "places"),
    [
        pytest.param(document({"training": "allow"}), ALLOW, [], id="allow"),
        pytest.param(document({"training": "deny"}), DENY, [], id="deny"),
        pytest.param(document({"training": "Allow"}), ALLOW, [], id="case"),
        pytest.param(document({"scraping": "allow"}), DENY, [], id="missing"),
        pytest.param(document({"training": None}), DENY, [], id="null"),
        pytest.param(document(), DENY, [], id="no-policies"),
        pytest.param(document([]), DENY, [], id="policies-array"),
        pytest.param(document({"training": "yes"}), DENY, ["policies.training"], id="other-value"),
        pytest.param(document({"training": True}), DENY, ["policies.training"], id="boolean"),
        pytest.param(document({"training": "conditional"}), DENY, [], id="conditional"),
        pytest.param(
            document({"training": "allow"}, agents={"PICTUREBOT": {"training": "deny"}}),
            DENY,
            [],
            id="agent",
        ),
        pytest.param(
            document({"training": "deny"}, agents={"PictureBot": {"training": "allow"}}),
            ALLOW,
            [],
            id="agent-allows",
        ),
        pytest.param(
            document({"training": "deny"}, agents={"*": {"training": "allow"}, "GPTBot": {}}),
            ALLOW,
            [],
            id="star",
        ),
        pytest.param(
            document({"training": "allow"}, agents={"PictureBot": "deny"}), ALLOW, [], id="agent-text"
        ),
        pytest.param(
            document({"training": "allow"}, agents={"*": {"training": 0}}),
            DENY,
            ["agents.*.training"],
            id="agent-error",
        ),
        pytest.param(
            document({"training": "allow"}, trainingPaths={"deny": "/*"}),
            DENY,
            ["trainingPaths.deny"],
            id="paths-text",
        ),
        pytest.param(
            document({"training": "conditional"}, trainingPaths={"allow": "/*"}),
            DENY,
            ["trainingPaths.allow"],
            id="paths-text-never-allows",
        ),
        pytest.param(
            document({"training": "conditional"}, trainingPaths={"allow": [1, "", "/*"]}),
            ALLOW,
            ["trainingPaths.allow[0]", "trainingPaths.allow[1]"],
            id="faulty-globs",
        ),
        # malformed: it can only deny
        pytest.param({"policies": {"training": "deny"}}, DENY, ["file"], id="no-site-denies"),
        pytest.param({"policies": {"training": "allow"}}, None, ["file"], id="no-site"),
        pytest.param({"trainingPaths": {"deny": ["/*"]}}, DENY, ["file"], id="no-site-glob"),
        pytest.param({"agents": {"*": {"training": "allow"}}}, None, ["file"], id="no-site-agent"),
        pytest.param({"site": {"name": "Art", "url": 1}}, None, ["file"], id="site-url-number"),
        pytest.param({"site": {"name": "", "url": "x"}}, None, ["file"], id="empty-site-name"),
        # other people's ai.json
        pytest.param({}, None, [], id="empty"),
        pytest.param({"site": "x", "policies": {"crawl": "x"}, "agents": ["x"]}, None, [], id="unrelated"),
        pytest.param({"name": "x", "identity": {"name": "x"}}, None, [], id="identity"),
    ],
)
def test_json(data, expected, places):
    reading = read(json.dumps(data))
    assert said(reading) is expected
    assert warned(reading) == places


@pytest.mark.parametrize(
    ("data", "rule", "where", "raw"),
    [
        pytest.param({"training": "Deny"}, "Training: deny", "policies.training", '"Deny"', id="deny"),
        pytest.param({}, "Training: deny (by default)", "site.name", '"Art"', id="missing"),
        pytest.param({"training": "allow"}, "Training-Deny: /*", "trainingPaths.deny[1]", '"/*"', id="glob"),
    ],
)
def test_a_json_member_is_evidence(data, rule, where, raw):
    paths = {"deny": ["/b", "/*"]} if data.get("training") == "allow" else {}
    (statement,) = read(json.dumps(document(data, trainingPaths=paths))).statements
    assert statement.rule == rule
    assert statement.evidence == Evidence(SOURCE.url, where, raw, "ab", 1.0)


# -- what a file is --------------------------------------------------------------------------------------

PROSE = """\
# Art by hand

> Pictures, made in Vienna. All rights reserved.

User agents are welcome: read on. See [llms.txt](https://127.0.0.1/llms.txt).

- Training: please ask first
- Contact: art@127.0.0.1
"""


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "faults"),
    [
        pytest.param(b"", "", None, 0, id="empty"),
        pytest.param(b"\n\n# nothing\n", "text/plain", None, 0, id="comments"),
        pytest.param(b"<!doctype html><p>User-Agent: *\nDisallow: /", "", None, 0, id="html"),
        pytest.param(b"\xef\xbb\xbf\r\n <html>\nTraining: deny", "", None, 0, id="html-after-white-space"),
        pytest.param(PROSE.encode(), "text/markdown", None, 0, id="markdown"),
        pytest.param(b"[a](b)\nplain", "text/plain", None, 0, id="markdown-link"),
        pytest.param(rules("Disallow: /").encode(), "text/html", DENY, 0, id="rules-as-html"),
        pytest.param(rules("Disallow: /").encode(), "application/json", DENY, 0, id="rules-as-json"),
        pytest.param((SITE + "Training: deny").encode(), "application/json", DENY, 0, id="fields-as-json"),
        pytest.param(json.dumps(document()).encode(), "text/plain", DENY, 0, id="json-as-text"),
        pytest.param(b"\xef\xbb\xbf\n" + json.dumps(document()).encode(), "", DENY, 0, id="json-after-mark"),
        pytest.param(b"[]", "application/json; charset=utf-8", None, 1, id="json-array"),
        pytest.param(b'"x"', "application/ld+json", None, 1, id="json-string"),
        pytest.param(b"{", "", None, 1, id="json-cut-off"),
        pytest.param(b'{"a":' * 100_000, "", None, 1, id="json-deep"),
        pytest.param(b'{"a":' + b"9" * 10_000 + b"}", "", None, 1, id="json-long-integer"),
        pytest.param(b'{"a": "\xe9"}', "", None, 1, id="json-latin-1"),
        # the rules of dialect A in a file of dialect B can only deny
        pytest.param((SITE + rules("Disallow: /")).encode(), "", DENY, 0, id="both-deny"),
        pytest.param(
            (SITE + "Training: allow\n" + rules("Disallow: /")).encode(), "", DENY, 0, id="rules-deny"
        ),
        pytest.param((SITE + "Training: deny\n" + rules("Allow: /")).encode(), "", DENY, 0, id="fields-deny"),
        pytest.param(rules("Allow: /", "Training: never").encode(), "", None, 2, id="rules-do-not-allow"),
        pytest.param(rules("Disallow: /", "Training: never").encode(), "", DENY, 2, id="rules-and-a-remark"),
    ],
)
def test_sniffing(body, content_type, expected, faults):
    parsed = parse(body, content_type)
    reading = parsed.read(TOKEN, "/a.jpg", SOURCE)
    assert said(reading) is expected
    assert len(reading.warnings) == len(parsed.faults) == faults


def test_absent_is_nothing():
    assert read(PROSE) is NOTHING
    assert PATHS == ("/ai.txt", "/.well-known/ai.txt", "/.well-known/ai.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(rules("Disallow: /", "Dis"), DENY, id="rules"),
        pytest.param(rules("Allow: /", "Dis"), None, id="rules-allow"),
        pytest.param(rules("Disallow: /"), None, id="cut-line"),
        pytest.param(SITE + "Training: allow\nTrai", None, id="fields-allow"),
        pytest.param(SITE + "Training: deny\nTrai", DENY, id="fields-deny"),
    ],
)
def test_what_was_cut_off_can_only_deny(text, expected):
    reading = parse(text.encode(), truncated=True).read(TOKEN, "/a.jpg", SOURCE)
    assert said(reading) is expected
    assert warned(reading)[0] == "file"


def test_limits():
    long = "#" * (ROBOTS_MAX - 60)
    assert said(read(rules(long, "Allow: /"))) is ALLOW
    assert said(read(rules(long, "Allow: /", "#" * 100))) is None
    many = [f"Allow: /{number}" for number in range(RULES_MAX)]
    assert said(read(rules(*many), "/77")) is ALLOW
    reading = read(rules(*many, "Allow: /a"), "/77")
    assert said(reading) is None
    assert warned(reading) == [f"line {RULES_MAX + 2}"]
    assert said(read(rules(*many, "Disallow: /a"))) is DENY

    globs = [f"Training-Allow: /{number}" for number in range(RULES_MAX)]
    text = SITE + "Training: conditional\n" + "\n".join(globs)
    assert said(read(text, "/77")) is ALLOW
    reading = read(text + "\nTraining-Allow: /b\nTraining-Allow: /c", "/77")
    assert said(reading) is DENY
    assert warned(reading) == [f"line {RULES_MAX + 4}"]
    text = SITE + "Training-Deny: /b\n" * RULES_MAX + "Training: allow"
    assert said(read(text)) is ALLOW
    assert said(read(text + "\nTraining-Deny: /a.jpg")) is None
    assert said(read(text + "\nTraining-Deny: /a.jpg", "/b")) is DENY

    assert warned(read("Training: x\n" * 100)) == ["file", *(f"line {line}" for line in range(1, FAULTS_MAX))]
    assert len(read(rules(*["junk"] * 100)).warnings) == FAULTS_MAX
    (statement,) = read(rules("Disallow: /" + "*" * 1000)).statements
    assert (len(statement.rule), len(statement.evidence.raw)) == (RAW_MAX, RAW_MAX)


def test_parsed_files_can_be_pickled():
    for text in (GENERATED, SITE + "Training: conditional\nTraining-Deny: /a*"):
        parsed = parse(text.encode())
        again = pickle.loads(pickle.dumps(parsed))  # noqa: S301 - our own bytes
        assert again.read(TOKEN, "/a.jpg", SOURCE) == parsed.read(TOKEN, "/a.jpg", SOURCE)


pieces = st.sampled_from(["*", "/", "a", "b", ".jpg", ".JPG", ".", "?", "$", "%2F", "**", "\xe9"])
patterns = st.lists(pieces, max_size=5).map("".join)
targets = (
    st.lists(st.sampled_from(["/", "a", "b", ".jpg", ".JPG", "?", "%2F", "."]), max_size=6)
    .map(lambda parts: split_url("http://127.0.0.1/" + "".join(parts)))
    .map(lambda parts: parts[1] if parts else "/")
)
rule_lines = st.tuples(st.sampled_from(["Allow: ", "Disallow: "]), patterns).map("".join)
field_lines = st.one_of(
    st.sampled_from(SITE.split("\n")),
    st.sampled_from(["Agent: *", "Agent: PictureBot", "Contact: x", "junk", "  # x", "User-Agent: *"]),
    st.tuples(
        st.sampled_from(["", "  "]),
        st.sampled_from(["Training: ", "Training-Allow: ", "Training-Deny: "]),
        st.sampled_from(["allow", "deny", "conditional", "x"]) | patterns,
    ).map("".join),
    rule_lines,
)
members = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["allow", "deny", "conditional", "/a*", "x", 1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "site",
                    "policies",
                    "training",
                    "trainingPaths",
                    "allow",
                    "deny",
                    "agents",
                    "*",
                    "name",
                    "url",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=80),
    st.lists(field_lines, max_size=8).map(lambda lines: "\n".join(lines).encode()),
    members.map(lambda data: json.dumps(data).encode()),
)


@given(
    bodies, st.text(max_size=8), st.text(max_size=8) | targets, st.none() | st.text(max_size=8), st.booleans()
)
def test_nothing_raises(body, token, target, media_type, truncated):
    parsed = parse(body, media_type or "", truncated=truncated)
    for kind in (None, media_type, "image/jpeg"):
        reading = parsed.read(token, target, SOURCE, kind)
        assert len(reading.statements) <= 1
        assert len(reading.warnings) <= FAULTS_MAX + 1


@given(st.lists(rule_lines, max_size=5), patterns, targets)
def test_a_disallow_more_never_allows(lines, pattern, target):
    before, after = (said(read(rules(*some), target)) for some in (lines, [*lines, "Disallow: " + pattern]))
    assert after in {before, DENY}


@given(st.lists(rule_lines, max_size=5), targets)
def test_a_known_type_never_lifts_a_deny(lines, target):
    if said(read(rules(*lines), target)) is DENY:
        assert said(read(rules(*lines), target, "image/jpeg")) is DENY


@given(patterns.map(lambda text: "/" + text), targets)
def test_an_extension_has_no_case(stem, target):
    expected = said(read(rules(f"Disallow: {stem}.jpg"), target.lower()))
    assert said(read(rules(f"Disallow: {stem}.JPG"), target.lower())) is expected


@given(
    st.lists(field_lines, max_size=8),
    st.sampled_from(["Training: deny", "Training-Deny: "]),
    patterns,
    targets,
)
def test_a_denying_field_more_never_allows(lines, key, glob, target):
    line = key + glob if key.endswith(" ") else key
    before, after = (said(read("\n".join(some), target)) for some in (lines, [*lines, line]))
    if before is DENY:
        assert after is DENY


@given(patterns, targets)
def test_an_allowing_glob_matches_no_more_than_a_denying_one(glob, target):
    allows = said(read(f"{SITE}Training: conditional\nTraining-Allow: /{glob}", target)) is ALLOW
    denies = said(read(f"{SITE}Training: allow\nTraining-Deny: /{glob}", target)) is DENY
    assert denies or not allows


@given(st.lists(field_lines, max_size=8), targets)
def test_without_a_site_nothing_is_allowed(lines, target):
    text = "\n".join(["Training: allow", *(line for line in lines if not line.startswith("Site-Name"))])
    assert said(read(text, canonical(target))) is not ALLOW
