"""The worker pool: on each machine of the cluster one Ray Train run keeps that machine's workers warm.

There is one Ray Train run per machine, so that a lost machine ends no other machine's run. A machine that joins later, for example from an
autoscaler, gets a run of its own. The runs' controllers and everything else that they share live on the driver's machine.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from platform.launch.cluster import Fatal, must_abandon_ray, stuck  # before Ray: it sets variables that Ray reads at import

# isort: split
import ray
import ray.train
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from platform.launch import ray_internals
from trainables.registry import join_lines
from trainables.workers.trial_actor import WorkerDeathCallback, run_worker

LOOK_S = 2.0
"""seconds between two checks of the list of machines"""
WAIT_S = 45.0
"""seconds without any machine after which the run fails, unless an autoscaler is starting one"""
AGAIN, AGAIN_S = 5, 900.0
"""Restart a machine's failed run at most 5 times in 900 s. Ray ends a run where its controller dies, and where a worker dies while another
is being replaced."""

Resources = dict[str, float]


def list_machines() -> dict[str, tuple[str, Resources]]:
    """Return name and resources of every live machine by its Ray node id, with the machine of this process first."""
    own_id = ray.get_runtime_context().get_node_id()
    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != own_id)
    return {node["NodeID"]: (node["NodeManagerHostname"], node["Resources"]) for node in alive}


def count_slots(resources: Resources, gpu: float, wanted: int | None) -> int:
    """Return how many cells train at once: `wanted` if given, else one per core, or as many as the GPUs hold at `gpu` each."""
    if gpu and "GPU" not in resources:
        raise Fatal(f"--gpu {gpu}: Ray finds no GPU here; leave the option out to train on the CPU")
    if gpu and wanted and wanted * gpu > resources["GPU"]:
        raise Fatal(f"--slots {wanted}: at {gpu:g} of a GPU each they need more than the {resources['GPU']:g} there are")
    return wanted or max(1, int(resources["GPU"] / gpu + 1e-9) if gpu else int(resources.get("CPU", 1)))


def spread_slots(rooms: dict[str, int], wanted: int) -> dict[str, int]:
    """Spread `wanted` slots evenly over machines. `rooms` maps each machine to the number of slots that it has room for.

    Each slot goes to the machine where the smallest share of the room is then taken.
    """
    slots = dict.fromkeys((name for name, room in rooms.items() if room), 0)
    for _ in range(wanted if slots else 0):
        slots[min(slots, key=lambda name: (slots[name] + 1) / rooms[name])] += 1
    return {name: number for name, number in slots.items() if number}


@dataclass
class MachineWorkers:
    """The workers of one machine."""

    host: str
    slots: int
    first: int
    """the rank of its first worker among the workers of all machines"""
    thread: threading.Thread | None = None
    trainer: Any = None

    @property
    def can_cancel(self) -> bool:
        return bool(self.trainer and self.trainer.controller)

    def cancel_run(self) -> None:
        """End a run that would wait for ever for a lost machine: its `fit` raises."""
        if self.can_cancel:
            ray.kill(self.trainer.controller)


class WorkerPool:
    """Start workers on every machine that has room, until `wanted` slots have workers. Track machines that join and leave."""

    def __init__(
        self,
        wanted: int,
        gpu_share: float,
        config: dict[str, Any],
        dispatcher: Any,
        scratch: str,
        say: Callable[[str], None],
        crowded: bool = False,
    ) -> None:
        """`gpu_share` is each slot's share of a GPU. `config` is passed to `run_worker`. `say` gets the lines for the user.

        `crowded`: more slots than cores are intended.
        """
        self.crowded = crowded and not gpu_share
        self.wanted, self.gpu_share, self.config, self.dispatcher, self.scratch, self.say = (
            wanted,
            gpu_share,
            config,
            dispatcher,
            scratch,
            say,
        )
        self.grows = bool(ray_internals.get_autoscaler_limits())
        self._trainer_class = ray_internals.build_trainer_class()
        self.fatal = ""
        """the reason why the run cannot continue"""
        self._machines: dict[str, MachineWorkers] = {}
        self._gone: list[MachineWorkers] = []
        self._first = 0
        """the rank of the next worker"""
        self._asked: list[PlacementGroup] = []
        """the placement groups that show an autoscaler the demand; Ray removes them when the job ends, in whatever way"""
        self._looked = self._manned = time.monotonic() - LOOK_S
        self._over = False
        self._said_waiting = False

    def update_machines(self) -> None:
        """Start workers on machines that joined, and forget those of lost machines. Does so at most every LOOK_S seconds."""
        if self._over or time.monotonic() - self._looked < LOOK_S:
            return
        machines = list_machines()
        for lost_node in [node for node in self._machines if node not in machines]:
            workers = self._machines.pop(lost_node)
            self._gone.append(workers)
            workers.cancel_run()
            self.dispatcher.report_deaths.remote({workers.first + rank: "" for rank in range(workers.slots)}, lost=True)
            self.say(f"{workers.host} is lost: its trainings go to other machines")
        missing = self.wanted - sum(workers.slots for workers in self._machines.values())
        rooms = {node: self._count_room(resources) for node, (_, resources) in machines.items() if node not in self._machines}
        if missing > 0 and any(rooms.values()):
            self._request_slots(0)  # a waiting placement group would occupy the new machine
            new_slots = missing if self.crowded and not self._first else min(missing, sum(rooms.values()))
            for node, slots in spread_slots(rooms, new_slots).items():
                self._start_workers(node, *machines[node], slots)
                missing -= slots
        if self.grows:
            self._request_slots(max(0, missing))
        self._report_waiting()
        self._looked = time.monotonic()

    @property
    def largest_machine(self) -> int:
        """Return the largest number of slots of a machine: a cell for more devices would wait for ever."""
        return max((workers.slots for workers in self._machines.values()), default=0)

    def close(self) -> None:
        """Start no more workers. Wait briefly for the runs that are ending, then end the others.

        A shutdown of Ray under a thread that waits for Ray would end the process without a message.
        """
        self._over = True
        self._request_slots(0)
        runs = [*self._machines.values(), *self._gone]
        for seconds in (2, 1):  # with the waits for the halt, the trials and Ray, at most 15 s in total
            deadline = time.monotonic() + seconds
            for workers in runs:
                if workers.thread:
                    workers.thread.join(max(0.0, deadline - time.monotonic()))
            for workers in runs:
                if workers.thread and workers.thread.is_alive() and not must_abandon_ray():
                    workers.cancel_run()
        if any(workers.thread and workers.thread.is_alive() and not workers.can_cancel for workers in runs):
            stuck.set()  # without Ray's private parts a run that still waits can only be abandoned

    def _count_room(self, resources: Resources) -> int:
        if self.gpu_share:
            return int(resources.get("GPU", 0) / self.gpu_share + 1e-9)
        return int(resources.get("CPU", 0))

    def _start_workers(self, node: str, host: str, resources: Resources, slots: int) -> None:
        workers = self._machines[node] = MachineWorkers(host, slots, self._first)
        per_worker = {"CPU": min(1.0, resources.get("CPU", 1) / slots)} | ({"GPU": self.gpu_share} if self.gpu_share else {})
        workers.thread = threading.Thread(target=self._run_workers, args=(node, workers, per_worker), daemon=True)
        self._first += slots
        workers.thread.start()

    def _run_workers(self, node: str, workers: MachineWorkers, per_worker: Resources) -> None:
        failure_times: list[float] = []
        while True:
            try:
                workers.trainer = self._make_trainer(node, workers, per_worker, f"workers-{workers.first}-{len(failure_times)}")
                workers.trainer.fit()
                refusals: dict[int, str] = ray.get(self.dispatcher.list_refusals.remote())
                reason = refusals.get(workers.first, "")
                restart = False
            except Exception as error:
                reason = f"the workers cannot go on: {join_lines(error)}"
                failure_times.append(time.monotonic())
                restart = sum(failure_times[-1] - moment < AGAIN_S for moment in failure_times) <= AGAIN
            # the pool is closed, the run has ended, or the machine is lost, which `update_machines` reports
            if self._over or not reason or node not in list_machines():
                return
            if not restart:
                break
            self._release_bundles(node, [per_worker] * workers.slots)
        if any(workers is not other and other.thread and other.thread.is_alive() for other in self._machines.values()):
            workers.slots = 0  # the entry stays, so that the machine gets no other workers
            self.say(f"this machine trains nothing: {reason}")
        else:
            self.fatal = self.fatal or reason

    def _release_bundles(self, node: str, bundles: list[Resources]) -> None:
        """Remove the placement group of a run whose controller died: Ray keeps it until the job ends, and the next run would wait for it.

        Such a group without a machine may belong to another machine's workers. Their run then fails and is restarted.
        """
        job, requested = ray.get_runtime_context().get_job_id(), {group.id.hex() for group in list(self._asked)}
        for name, group in placement_group_table().items():
            nodes = set(group["bundles_to_node_id"].values()) if group["state"] == "CREATED" else set()
            same_bundles = list(group["bundles"].values()) == bundles  # Tune has placement groups of its own on the head
            if name.endswith(job) and name not in requested and same_bundles and group["state"] != "REMOVED" and nodes <= {node}:
                ray_internals.remove_placement_group(name)

    def _make_trainer(self, node: str, workers: MachineWorkers, per_worker: Resources, name: str) -> Any:
        return self._trainer_class(
            run_worker,
            train_loop_config=self.config | {"first": workers.first, "size": workers.slots},
            torch_config=ray_internals.make_backend_config(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.slots,
                use_gpu=bool(self.gpu_share),
                resources_per_worker=per_worker,
                label_selector={"ray.io/node-id": node},
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=self.scratch,
                failure_config=ray.train.FailureConfig(max_failures=-1, max_preemption_failures=-1, controller_failure_limit=2),
                callbacks=[WorkerDeathCallback(self.config["dispatcher"], workers.first)],
            ),
        )

    def _request_slots(self, slots: int) -> None:
        """Show an autoscaler the demand for `slots` slots that have no room yet."""
        while len(self._asked) > slots:
            remove_placement_group(self._asked.pop())
        while len(self._asked) < slots:
            self._asked.append(placement_group([{"CPU": 1.0} | ({"GPU": self.gpu_share} if self.gpu_share else {})]))

    def _report_waiting(self) -> None:
        """Report what the pool waits for, and set `fatal` where the wait is useless."""
        now = time.monotonic()
        if any(workers.slots for workers in self._machines.values()):
            self._manned = now
        elif now - self._manned > WAIT_S:
            demand = f"{self.wanted} slots need {f'{self.gpu_share:g} of a GPU' if self.gpu_share else 'a CPU'} each, and no machine has it"
            starting, failed = count_starting_machines() if self.grows else (0, "")
            if not starting:
                self.fatal = f"{demand} after {now - self._manned:.0f} s" + (f"; the autoscaler says: {failed}" if failed else "")
            elif not self._said_waiting:
                self._said_waiting = True
                self.say(f"{demand} yet: waiting for {starting} machines that the autoscaler is starting")


def count_starting_machines() -> tuple[int, str]:
    """Return how many machines an autoscaler is starting, and its message about the last one that it could not start."""
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(ray.get_runtime_context().gcs_address)
    starting = sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes)
    failed = [launch.details or f"{launch.ray_node_type_name} was not launched" for launch in status.failed_launches]
    failed += [node.failure_detail or node.details or "a machine failed" for node in status.failed_nodes]
    return starting, " ".join(failed[-1].split())[:300] if failed else ""
