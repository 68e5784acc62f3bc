"""Every use of a private part of Ray. Each says what it saves. Where a Ray lacks the part, the public API does instead, more slowly.

FERRAY_PUBLIC_RAY=1 treats every private part as missing. The numbers of a grid are the same.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray

PUBLIC_ONLY = "FERRAY_PUBLIC_RAY"
missing: list[str] = []
"""names of the private parts that this Ray lacks, among those that were asked for in this process"""


def find_part(module: str, name: str) -> Any:
    """Return a private object of Ray; None if this Ray lacks it, which is then listed in `missing`."""
    try:
        if os.environ.get(PUBLIC_ONLY):
            raise ImportError(name)
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        if name not in missing:
            missing.append(name)
        return None


def get_node() -> Any:
    """Return the object of the daemons that this process has started; None before `ray.init`.

    It names a dead daemon within a second. Without it Ray itself notices after up to a minute, and session folders stay until Ray or
    the user removes them.
    """
    return find_part("ray._private.worker", "_global_node")


@contextmanager
def keep_dashboard_offline() -> Iterator[None]:
    """Start Ray inside, and its dashboard's process makes no request to a cloud.

    Even without a dashboard that process asks, by http and DNS, in which cloud it runs, unless its home folder says which cluster.yaml made
    the machine. So it gets a home folder, in the session's folder, that says so. Without the private part it asks.
    """
    services = "ray._private.services"
    start = find_part(services, "start_ray_process")
    if start is None:
        yield
        return

    def start_offline(command: list[str], process_type: str, *given: Any, **options: Any) -> Any:
        session = next((text.partition("=")[2] for text in command if text.startswith("--session-dir=")), "")
        if process_type == "dashboard" and session:
            home = Path(session, "dashboard-home")
            home.mkdir(exist_ok=True)
            (home / "ray_bootstrap_config.yaml").write_text("{}\n")
            options["env_updates"] = (options.get("env_updates") or {}) | {"HOME": str(home)}
        return start(command, process_type, *given, **options)

    module = importlib.import_module(services)
    module.start_ray_process = start_offline  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.start_ray_process = start  # type: ignore[attr-defined]


def get_autoscaler_limits() -> dict[str, float]:
    """Return the resources to which an autoscaler may grow the cluster; empty without an autoscaler.

    Without it a grid on a cluster that grows asks for the slots of the machines that are up when it starts.
    """
    state = find_part("ray._private.state", "state")
    return {name: float(number) for name, number in ((state and state.get_max_resources_from_cluster_config()) or {}).items()}


def remove_placement_group(name: str) -> None:
    """Remove a placement group by its id in hexadecimal. Without it the next run on the machine waits until the job ends."""
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    if placement_group_id := find_part("ray._raylet", "PlacementGroupID"):
        remove_placement_group(PlacementGroup(placement_group_id.from_hex(name)))


def find_config_error(config: dict[str, Any]) -> str:
    """Return why `ray up` would refuse a cluster.yaml; empty if it accepts it, and where only `ray up` itself can tell."""
    prepare, validate = (find_part("ray.autoscaler._private.util", f"{verb}_config") for verb in ("prepare", "validate"))
    if not (prepare and validate):
        return ""
    try:
        validate(prepare(config))
    except Exception as error:
        return str(error).splitlines()[0]
    return ""


def make_backend_config() -> Any:
    """Return a backend without a process group: workers train their own cells and need none.

    With `has_replica_groups` Ray Train replaces a dead worker alone. A Ray without replica groups restarts all workers of the machine.
    """
    from ray.train.backend import Backend, BackendConfig

    class IndependentBackend(Backend):
        has_replica_groups = True

    class IndependentBackendConfig(BackendConfig):
        backend = "alone"

        @property
        def backend_cls(self) -> type[Backend]:
            return IndependentBackend

        @property
        def train_func_context(self) -> Any:
            return nullcontext

    return IndependentBackendConfig()


def build_trainer_class() -> Any:
    """Return a TorchTrainer that keeps its controller in `controller` and starts only the workers.

    Ray Train starts three helper processes, and each imports all of Ray Train before the first cell trains. This trainer omits them: a
    grid has no Ray data sets to manage, the worker pool removes the placement groups of dead controllers, and a fixed number of workers
    needs no coordinator that shares the cluster with Ray Data. Without the private parts it is a plain TorchTrainer, and a run that
    waits for a lost machine is left behind.
    """
    from ray.train.torch import TorchTrainer

    internal = "ray.train.v2._internal"
    omitted = [
        find_part(f"{internal}.callbacks", "DatasetsCallback"),
        find_part(f"{internal}.callbacks.placement_group_callback", "PlacementGroupCleanerCallback"),
    ]
    controller_class = find_part(f"{internal}.execution.controller", "TrainController")
    policy_class: Any = find_part(f"{internal}.execution.scaling_policy", "FixedScalingPolicy")
    get_variables = find_part(f"{internal}.constants", "get_env_vars_to_propagate")
    warn_variable = find_part("ray._common.constants", "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC_ENV_VAR")
    method = hasattr(TorchTrainer, "_initialize_and_run_controller")
    if not method and "_initialize_and_run_controller" not in missing:
        missing.append("_initialize_and_run_controller")
    if not (method and all((*omitted, controller_class, policy_class, get_variables, warn_variable))):
        return type("PlainTrainer", (TorchTrainer,), {"controller": None})

    class FixedSizePolicy(policy_class):
        """It does not wait for the coordinator actor. An autoscaler reads the demand from the placement group."""

        def after_controller_start(self, train_run_context: Any) -> None:
            pass

        def _maybe_send_resource_request(self) -> None:
            pass

    class LeanTrainer(TorchTrainer):
        controller: Any = None

        def _initialize_and_run_controller(self, **parts: Any) -> Any:
            parts["callbacks"] = [callback for callback in parts["callbacks"] if not isinstance(callback, tuple(omitted))]
            parts["scaling_policy"] = FixedSizePolicy(self.scaling_config)
            selector = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
            variables = {warn_variable: "0"} | get_variables()
            actor = ray.remote(num_cpus=0, label_selector=selector, runtime_env={"env_vars": variables})(controller_class)
            self.controller = actor.remote(**parts)  # as in Ray's own method, which keeps the controller private
            ray.get(self.controller.run.remote())
            return ray.get(self.controller.get_result.remote())

    return LeanTrainer
