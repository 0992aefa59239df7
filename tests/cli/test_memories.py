"""Memories on the command line: told, asked, listed, shown and deleted."""

import pytest

from tests.cli.homes import Home
from tests.factories import a_tenant


def told(home: Home, content: str, *options: str) -> str:
    """Return the id of a memory that was added."""
    ran = home.run("add", content, *options, "--json")
    assert ran.status == 0, ran.err
    return str(ran.json["id"])


def test_what_was_told_is_found(home: Home) -> None:
    brass = told(home, "The lamp of the lighthouse is made of brass", "--speaker", "Ada", "--session", "s1")
    told(home, "Ben bakes bread on Fridays")

    ran = home.run("query", "What is the lamp made of?", "-k", "1", "--json")

    assert [match["id"] for match in ran.json["matches"]] == [brass]
    assert ran.json["matches"][0]["speaker"] == "Ada"
    assert ran.err == ""


def test_every_field_is_kept(home: Home) -> None:
    options = ["--user", "ada", "--project", "tower", "--session", "s1", "--speaker", "Ada", "--tag", "sea"]
    options += ["--tag", "brass", "--occurred-at", "2026-03-01T12:00:00Z", "--sector", "episodic"]
    memory = told(home, "We climbed the tower", *options, "--metadata", '{"steps": 189}')

    shown = home.run("get", memory, "--json").json

    assert shown["content"] == "We climbed the tower"
    assert (shown["user_id"], shown["project_id"], shown["session_id"]) == ("ada", "tower", "s1")
    assert (shown["tags"], shown["metadata"]) == (["sea", "brass"], {"steps": 189})
    assert shown["occurred_at"] == "2026-03-01T12:00:00Z"
    assert shown["primary_sector"] == "episodic"


def test_standard_input_is_told(home: Home) -> None:
    ran = home.run("add", "--json", stdin="Grüße vom Leuchtturm\nund vom Meer\n")

    content = home.run("get", ran.json["id"], "--json").json["content"]
    assert content == "Grüße vom Leuchtturm\nund vom Meer"


def test_the_same_again_is_known_already(home: Home) -> None:
    first = told(home, "The keeper plays the harp")

    ran = home.run("add", "The keeper plays the harp")

    assert ran.out == f"known already: {first} (semantic)\n"


def test_another_tenants_memory_is_not_found(home: Home) -> None:
    memory = told(home, "The keeper plays the harp")

    for command in (["get", memory], ["delete", memory, "--yes"]):
        ran = home.run(*command, "--tenant", a_tenant())
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == f"openmemory: No such memory: memory {memory}\n"
    assert home.run("get", memory).status == 0


def test_questions_can_be_narrowed(home: Home) -> None:
    told(home, "The lamp is brass", "--user", "ada", "--tag", "old", "--occurred-at", "2020-05-01")
    told(home, "The lamp is glass", "--user", "ben", "--tag", "new", "--occurred-at", "2026-05-01")

    def found(*options: str) -> list[str]:
        return [match["content"] for match in home.run("query", "lamp", *options, "--json").json["matches"]]

    assert len(found()) == 2
    assert found("--user", "ben") == found("--tag", "new") == found("--since", "2026-01-01") == ["The lamp is glass"]
    assert found("--until", "2026-01-01") == ["The lamp is brass"]
    assert found("--min-score", "1") == []


def test_a_score_can_be_explained(home: Home) -> None:
    told(home, "The lamp is brass")

    ran = home.run("query", "brass lamp", "--explain")

    assert "words" in ran.out
    assert "tenant_index: 1 rows read" in ran.out
    assert "Index Cond: (tenant_id = " in ran.out


def test_pages_follow_each_other(home: Home) -> None:
    for number in range(5):
        told(home, f"Stone number {number} of the tower")

    first = home.run("list", "--limit", "3", "--json").json
    second = home.run("list", "--limit", "3", "--cursor", first["next_cursor"], "--json").json

    assert len(first["items"]) == 3
    assert [item["content"][13] for item in first["items"] + second["items"]] == list("43210")
    assert second["next_cursor"] is None


@pytest.mark.parametrize("columns", [40, 60])
def test_no_line_is_longer_than_a_narrow_terminal(home: Home, columns: int) -> None:
    narrow = home.with_settings(COLUMNS=str(columns))
    long = "The keeper of the lighthouse wrote a very long letter about the weather. " * 5 + "x" * 200 + "灯台" * 40
    memory = told(home, long, "--speaker", "Ada", "--session", "a-session-with-quite-a-long-name", "--user", "ada")

    for command in (["query", "letter", "--explain"], ["list"], ["get", memory], ["stats"], ["migrate", "status"]):
        ran = narrow.run(*command)
        assert ran.status == 0
        assert max(map(len, ran.out.splitlines())) <= columns, command


def test_what_a_memory_says_cannot_steer_the_terminal(home: Home) -> None:
    memory = told(home, "harmless \x1b[2J\x1b]0;title\x07 \u202ereversed [bold]text[/bold] :smile:")

    for command in (["query", "harmless"], ["list"], ["get", memory]):
        out = home.run(*command).out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
        assert "[bold]text[/bold] :smile:" in out


def test_deleting_asks_and_names_what_goes(home: Home) -> None:
    memory = told(home, "The keeper plays the harp")

    refused = home.run("delete", memory, stdin="n\n")
    assert refused.status == 1
    assert "The keeper plays the harp" in refused.err
    assert home.run("get", memory).status == 0

    assert home.run("delete", memory, stdin="y\n").out == "1 memory deleted\n"
    assert home.run("get", memory).status == 1


def test_deleting_without_anybody_to_ask_needs_yes(home: Home) -> None:
    memory = told(home, "The keeper plays the harp")

    ran = home.run("delete", memory, stdin="")

    assert ran.status == 1
    assert "--yes" in ran.err
    assert home.run("delete", memory, "--yes", "--json").json == {"deleted": 1}


def test_one_unknown_id_deletes_nothing(home: Home) -> None:
    memory = told(home, "The keeper plays the harp")

    ran = home.run("delete", memory, "01a21097-12d5-7667-af9c-8de401984a53", "--yes")

    assert ran.status == 1
    assert home.run("get", memory).status == 0


def test_a_user_is_deleted_with_everything(home: Home) -> None:
    for number in range(3):
        told(home, f"Stone number {number}", "--user", "ada")
    told(home, "A stone of Ben", "--user", "ben")

    asked = home.run("delete", "--user", "ada", stdin="n\n")
    assert "with 3 memories for good?" in asked.err
    assert home.run("delete", "--user", "ada", "--yes").out == "3 memories deleted\n"

    assert [item["user_id"] for item in home.run("list", "--json").json["items"]] == ["ben"]


def test_stats_count_the_tenant_alone(home: Home) -> None:
    told(home, "Yesterday we went to the lighthouse", "--user", "ada", "--session", "s1")
    told(home, "First wipe the lamp, then polish it", "--user", "ben")

    stats = home.run("stats", "--json").json

    assert (stats["memories"], stats["users"], stats["sessions"]) == (2, 2, 1)
    assert {name: one["count"] for name, one in stats["sectors"].items()} == {"episodic": 1, "procedural": 1}
    assert stats["content_bytes"] == 35 + 35
    assert stats["search_bytes"] > 2 * 1024


def test_an_empty_tenant_is_said_to_be_one(home: Home) -> None:
    for command in (["list"], ["query", "anything"], ["stats"]):
        assert home.run(*command).status == 0
    assert home.run("list", "--json").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["query", "lamp"], ["stats"]])
def test_a_tenant_that_nobody_knows_is_told_from_one_that_is_empty(home: Home, command: list[str]) -> None:
    emptied = told(home, "The lamp is brass")
    assert home.run("delete", emptied, "--yes").status == 0

    unknown, empty = home.run(*command, "--tenant", a_tenant()), home.run(*command)

    assert (unknown.status, empty.status) == (0, 0)
    assert "is not known in this database" in unknown.err.replace("\n", " ")
    assert "is not known" not in empty.err


@pytest.mark.parametrize("content", ["", "x" * 100_001])
def test_what_cannot_be_kept_is_named(home: Home, content: str) -> None:
    ran = home.run("add", content)

    assert ran.status == 1
    assert ran.err.startswith("openmemory: content: ")
    assert ran.err.count("\n") == 1
