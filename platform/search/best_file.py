"""What a search writes to best.json, which `--use` reads."""

from typing import Any

from platform.search.condition_search import ConditionSearch
from platform.search.search_record import PUBLISHED
from platform.search.searchers import SEARCHERS
from search_spaces.space_tree import describe_space
from search_spaces.study import Study


def build_best_json(study: Study, searches: list[ConditionSearch], fixed_test: dict[str, float]) -> dict[str, Any]:
    """Return, by arm and condition, the settings with the highest mean, and the result of the paper's settings.

    `fixed_test` are the shares of the test parts that no search has used, by role.
    """
    entries = []
    for each in searches:
        best, best_settings = each.record.best_trial, each.get_best_settings()
        if best is None or best_settings is None:
            continue
        paper_trial = next((trial for trial in each.record.finished_trials if trial.user_attrs.get("searcher") in PUBLISHED), None)
        entries.append(
            {
                "arm": each.search.arm,
                "shared": list(each.search.shared),
                "condition": each.condition,
                "settings": best_settings.settings,
                "mean": best.value,
                "sd": best.user_attrs["sd"],
                "suggestion": best.number,
                "by": best.user_attrs["searcher"],
                "text": {"settings": each.text, "mean": paper_trial.value if paper_trial else None},
                "finished": len(each.record.finished_trials),
                "pruned": len(each.record.pruned_trials),
                "failed": len(each.record.failed_trials),
            }
        )
    search = searches[0].search
    return {
        "study": study.name,
        "scale": study.scale,
        "objective": f"mean val/{study.metric} over seeds 0 to {search.seeds - 1}",
        "spaces": {each.arm: describe_space(each.space) for each in study.searches},
        "searcher": {"name": search.searcher} | SEARCHERS[search.searcher].describe(),
        "scheduler": search.scheduler,
        "fixed_test": fixed_test,
        "found": entries,
    }
