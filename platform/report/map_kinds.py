"""The kinds of saliency maps, their titles, and the folders of a run folder that hold them."""

from typing import get_args

from search_spaces.pictures import MapKind

KINDS: tuple[MapKind, ...] = get_args(MapKind)
TITLES: dict[str, str] = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "saliency": "Saliency"}


def get_folder_name(kind: str) -> str:
    """Return the name of the folder below RUN/explain: a plus sign would have to be escaped in an address."""
    return kind.replace("+", "p")
