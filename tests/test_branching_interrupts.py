"""Control inversion among threads, interrupts, forks and copies."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from learnsys.envs.branching.environment import BranchingEnv
from learnsys.errors import LearnsysError


def test_another_thread_gets_a_clear_error_and_the_episode_goes_on():
    env = BranchingEnv("knapsack:tiny", form="direct")
    _, info = env.reset(seed=0)
    caught = []

    def work(action):
        try:
            env.step(action)
        except LearnsysError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work, args=(info["action_set"][0],))
    thread.start()
    thread.join()
    assert caught and "another thread" in caught[0]
    env.step(info["action_set"][0])
    env.close()


def test_an_environment_may_live_in_a_thread_of_its_own():
    results = []

    def work():
        env = BranchingEnv("knapsack:tiny", form="direct")
        _, info = env.reset(seed=0)
        while info["action_mask"].any():
            info = env.step(info["action_set"][0])[4]
        results.append(info["n_nodes"])
        env.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and len(set(results)) == 1


def run_python(code):
    # Where these tests run in the background of a shell, SIGINT is ignored, and so it would be in the new process.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", heard + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_interpreter_may_end_in_the_middle_of_episodes():
    done = run_python(
        """
        from learnsys.envs.branching.environment import BranchingEnv
        envs = [BranchingEnv("knapsack:tiny", form="direct") for _ in range(3)]
        for seed, env in enumerate(envs):
            info = env.reset(seed=seed)[1]
            env.step(info["action_set"][0])
        print("end")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("reward", ["is_done", "dual_integral"])
def test_an_interrupt_reaches_python_and_the_environment_survives(reward):
    """The signal comes while SCIP runs; the second reward has Python callbacks in which it may land."""
    done = run_python(
        f"""
        import os, signal, threading
        from learnsys.envs.branching.environment import BranchingEnv
        env = BranchingEnv("knapsack:rows=8,items=60", form="direct", reward={reward!r})
        info = env.reset(seed=0)[1]  # kernels are compiled here: LLVM does not survive an interrupt
        env.step(info["action_set"][0])
        interrupts = 0
        for attempt in range(5):
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                info = env.reset(seed=attempt)[1]
                while True:
                    info = env.step(info["action_set"][0])[4]
            except KeyboardInterrupt:
                interrupts += 1
        info = env.reset(seed=0)[1]
        env.step(info["action_set"][0])
        env.close()
        print(interrupts)
        """
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_an_interrupt_is_heard_in_the_middle_of_the_root():
    """Fewer LPs than the root takes were solved when KeyboardInterrupt came out of reset."""
    done = run_python(
        """
        import os, signal, threading
        from pyscipopt import SCIP_EVENTTYPE, Eventhdlr
        from learnsys.envs.branching.environment import BranchingEnv

        class Counter(Eventhdlr):
            def __init__(self, seen):
                self.eventexec = seen.append  # no Python code runs here that could hear a signal
            def eventinit(self):
                self.model.catchEvent(SCIP_EVENTTYPE.LPEVENT, self)

        class Counting:
            interrupted = False
            def before_reset(self, model):
                self.seen = []
                model.includeEventhdlr(Counter(self.seen), "counter", "")
                if self.interrupted:  # soon after SCIP has begun, however long making the instance took
                    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            def extract(self, model, done):
                return None

        counting = Counting()
        env = BranchingEnv("setcover:rows=300,cols=600", form="direct", information=counting)
        env.reset(seed=0)
        whole = len(counting.seen)
        counting.interrupted = True
        try:
            env.reset(seed=0)
        except KeyboardInterrupt:
            print(len(counting.seen) < whole)
        counting.interrupted = False
        env.reset(seed=0)
        print(len(counting.seen) == whole)
        env.close()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\n", ""), done.stdout + done.stderr


def test_a_fork_may_go_on_with_the_clone():
    env = BranchingEnv("knapsack:tiny", form="direct")
    _, info = env.reset(seed=0)
    info = env.step(info["action_set"][0])[4]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            while info["action_mask"].any():
                info = env.step(info["action_set"][0])[4]
            code = 0 if info["status"] == "optimal" else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    env.step(info["action_set"][0])
    env.close()


def test_copies_play_the_episode_again():
    env = BranchingEnv("knapsack:tiny", form="direct")
    _, info = env.reset(seed=4)
    for _ in range(5):
        info = env.step(info["action_set"][-1])[4]
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert other.action_set.tolist() == env.action_set.tolist()
        assert other.model.getNTotalNodes() == env.model.getNTotalNodes()
        assert other.model.getNLPIterations() == env.model.getNLPIterations()
        other.close()
    env.close()


def test_signal_handlers_stay_python_s():
    handler = signal.getsignal(signal.SIGINT)
    env = BranchingEnv("knapsack:tiny")
    env.reset(seed=0)
    assert signal.getsignal(signal.SIGINT) is handler
    env.close()
