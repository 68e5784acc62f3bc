"""Options that several commands have. It imports Typer alone, so that --help stays fast."""

import typer

from platform.cli.config_file import add_configured

SCALE = typer.Option(help="pocket: minutes on two cores; paper: the paper's settings and data")
ONLY = typer.Option(metavar="AXIS=V,V", callback=add_configured, help="only these values of an axis")
SETTINGS = typer.Option("--set", metavar="KEY=VALUE", callback=add_configured, help="override a setting, e.g. epochs=20")
DATA = typer.Option(
    metavar="ROLE=KIND:PATH | FILE.yaml",
    callback=add_configured,
    help="data of a role, e.g. children=fer2013:PATH; a role named again has both",
)
SLOTS = typer.Option(min=1, help="workers; default: one per core, or as many as the GPUs hold")
GPU = typer.Option(min=0, help="share of a GPU for each slot")
LOG = typer.Option(metavar="mlflow=URI|wandb=offline", help="also log every finished training there; may be given twice")


def list_options(context: typer.Context) -> list[str]:
    """Return the long options of the command that runs, without their dashes."""
    return [name[2:] for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
