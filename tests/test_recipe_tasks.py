"""Tasks: one rule says what can be made of what, for every recipe and whatever a visit has."""

from __future__ import annotations

import ast
from collections.abc import Collection
from itertools import chain, combinations
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import RecipeError
from bids_synth.recipe.recipe import Recipe, load_recipe, recipe_names, validate_recipe
from bids_synth.recipe.tasks import Task, task_of

NAMES = ("T1w", "T2w", "PDw", "FLAIR", "ct")
ROLES = ("either", "source", "target", "reference")
ROOT = Path(__file__).resolve().parent.parent / "bids_synth"
sets = st.frozensets(st.sampled_from(NAMES))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any roles and any minimum that a recipe may have, and recipes without pairs."""
    if draw(st.integers(0, 4)) == 0:
        return load_recipe("cyclegan")
    names = draw(st.permutations(NAMES))
    data = load_recipe("impute").model_dump(mode="json")
    data["modalities"] = {name: draw(st.sampled_from(ROLES)) for name in names}
    data["minimum"] = draw(st.integers(1, 4))
    try:
        return validate_recipe(data, origin="test")
    except RecipeError:
        assume(False)
        raise


def subsets(names: Collection[str]) -> list[frozenset[str]]:
    sizes = range(len(names) + 1)
    return [frozenset(s) for s in chain(*(combinations(sorted(names), n) for n in sizes))]


def oracle(
    recipe: Recipe, present: Collection[str], doubtful: Collection[str]
) -> dict[str, tuple[frozenset[str], bool]]:
    """Target -> sources and whether it is real, by search among all sets of modalities.

    The sources are the largest set that may be read, without the target, and is enough.
    """
    answer = {}
    for target, role in recipe.modalities.items():
        if role not in ("either", "target") or (target in doubtful and target not in present):
            continue
        readable = [
            chosen
            for chosen in subsets(recipe.modalities)
            if all(m in present and recipe.modalities[m] in ("either", "source") for m in chosen)
            and target not in chosen
        ]
        most = max(readable, key=len)
        if len(most) >= recipe.minimum:
            answer[target] = (most, target in present)
    return answer


@given(recipes(), sets, sets)
def test_the_tasks_are_those_of_a_search_through_all_sets(
    recipe: Recipe, present: frozenset[str], doubtful: frozenset[str]
) -> None:
    tasks = recipe.tasks(present, doubtful)
    found = {task.target: (frozenset(task.sources), task.real) for task in tasks}
    assert found == oracle(recipe, present, doubtful)
    order = list(recipe.modalities)
    for names in ([task.target for task in tasks], *(task.sources for task in tasks)):
        assert list(names) == sorted(set(names), key=order.index)


@given(recipes(), sets, sets)
def test_a_visit_and_its_prepared_images_have_the_same_tasks(
    recipe: Recipe, present: frozenset[str], withheld: frozenset[str]
) -> None:
    """And of what is withheld every target is as one that was never acquired."""
    visit = Visit("01", None, {m: Scan(m, Path(m)) for m in present})
    assert recipe.tasks(visit.scans) == recipe.tasks(dict.fromkeys(sorted(present), Path()))
    left = recipe.tasks(visit.without(withheld).scans)
    assert left == recipe.tasks(present - withheld)
    assert {task.target for task in left if task.real} <= present - withheld
    for task in recipe.tasks(present):
        assert task.real == (task.target in present)
        if task.real:  # The answer that is scored is the one that its absence would get.
            others = recipe.tasks(present - {task.target})
            assert Task(task.target, task.sources, real=False) in others


@given(recipes(), sets)
def test_the_sets_of_a_scenario_are_all_that_are_enough(
    recipe: Recipe, present: frozenset[str]
) -> None:
    for task in recipe.tasks(present):
        smaller = list(task.subsets(recipe.minimum))
        assert smaller[0] == task
        assert {(t.target, t.real) for t in smaller} == {(task.target, task.real)}
        chosen = [frozenset(t.sources) for t in smaller]
        wanted = [s for s in subsets(task.sources) if len(s) >= recipe.minimum]
        assert sorted(map(sorted, chosen)) == sorted(map(sorted, wanted))
        assert [len(s) for s in chosen] == sorted(map(len, chosen), reverse=True)
        assert all(task.without(set(task.sources) - s).sources == t.sources
                   for s, t in zip(chosen, smaller, strict=True))  # fmt: skip


@given(recipes(), sets, sets)
def test_a_limited_recipe_makes_no_more_than_the_whole_and_reads_only_what_is_left(
    recipe: Recipe, kept: frozenset[str], present: frozenset[str]
) -> None:
    try:
        limited = recipe.limited_to(sorted(kept))
    except RecipeError:
        return
    assert limited.tasks(kept), "a recipe that can make nothing of all its modalities"
    for task in limited.tasks(present):
        assert {task.target, *task.sources} <= kept
        whole = task_of(task.target, recipe.sources, present)
        assert task == whole.without(present - kept)
        assert task.target in recipe.targets


def test_each_recipe_of_the_package_can_make_each_of_its_targets() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert [task.target for task in recipe.tasks(recipe.modalities)] == [*recipe.targets]


def test_a_recipe_without_pairs_goes_both_ways() -> None:
    recipe = load_recipe("cyclegan")
    one, other = recipe.modalities
    assert recipe.tasks([one]) == (Task(other, (one,), real=False),)
    assert recipe.tasks([other]) == (Task(one, (other,), real=False),)
    assert all(task.real for task in recipe.tasks([one, other]))


def test_nothing_outside_recipe_compares_with_the_minimum() -> None:
    """Whoever asks whether sources are enough asks a task."""
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.parent != ROOT / "recipe"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Attribute) and side.attr == "minimum"
            for side in (node.left, *node.comparators)
        )
    ]
    assert faults == []
