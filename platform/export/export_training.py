"""Exports one training: the model file and its card."""

from typing import NamedTuple

from platform.export.choose_training import choose_training
from platform.export.describe_training import describe_training
from platform.export.model_card import write_card
from platform.export.write_model import check_model, write_model
from platform.predict.model_file import FORMATS
from platform.report.read_run_folder import read_folder
from trainables.load_network import load_network
from trainables.storage.store import RunFolder


class Exported(NamedTuple):
    path: str
    card_path: str
    notes: list[str]


def export_training(folder: RunFolder, wanted: str, kind: str, out: RunFolder) -> Exported:
    """Write the files of a training to `out`. The model is read again and compared with the network before it is written.

    Raises BadRequest for a training that cannot be exported, and for a file that would compute other numbers.
    """
    choice = choose_training(folder, wanted)
    trained = load_network(folder, choice.cell.key)
    runs = read_folder(folder, choice.study)
    run = folder.root.rstrip("/").rpartition("/")[2]
    description = describe_training(choice, trained, run)
    content = write_model(trained, description, kind)
    try:
        checked = f"checked: its logits are those of the network within {check_model(trained, content, kind):.1g}"
    except ImportError as error:
        checked = f"not checked: {error.name} is not installed (pip install 'ferray[onnx]')"
    file = f"{choice.cell.key}{FORMATS[kind]}"
    out.put(content, file)
    out.put(write_card(choice, description, runs, file).encode(), f"{choice.cell.key}.md")
    return Exported(out.get_path(file), out.get_path(f"{choice.cell.key}.md"), [*filter(None, [choice.how]), checked])
