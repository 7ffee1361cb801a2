"""Prints a line for each task: `ok name` or `FAIL name: why`."""

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Told by Ansible what became of each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "checks"

    def v2_runner_on_ok(self, result):
        print(f"ok {self._name(result)}", flush=True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        print(f"FAIL {self._name(result)}: {self._why(result)}", flush=True)

    def v2_runner_on_unreachable(self, result):
        print(f"FAIL {self._name(result)}: unreachable: {self._why(result)}", flush=True)

    @staticmethod
    def _name(result):
        return result.task.get_name().rsplit(" : ", 1)[-1].replace(" ", "-").lower()

    @staticmethod
    def _why(result):
        known = ("msg", "stderr", "stdout", "rc", "changed")
        return " ".join(f"{key}={result.result[key]!r}" for key in known if key in result.result)[:400]
