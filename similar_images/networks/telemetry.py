"""Import libraries with their telemetry off.

As installed by pip, ONNX Runtime and OpenVINO report usage over the network, and each request of huggingface_hub names
the installed PyTorch and the calling program.
"""

import os
import sys
from importlib import import_module
from types import ModuleType

from similar_images.networks.extras import need


def import_onnxruntime() -> ModuleType:
    """Return the module onnxruntime. Its switch (onnxruntime/Privacy.md) must be set before it is first imported.

    Otherwise it keeps a device ID and a database of events in the user's cache, and uploads them.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime = import_module("onnxruntime")
    onnxruntime.disable_telemetry_events()  # if the user has imported it before
    return onnxruntime


def import_openvino(purpose: str, extra: str) -> ModuleType:
    """Return the module openvino. Raises MissingExtra.

    OpenVINO reports through the package openvino_telemetry. Its opt-out is a file in the user's home, written by a
    command that reports the opt-out itself. Without the package, OpenVINO uses a stub of its own: hide the package.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: not installed (import system)
    openvino = need("openvino", extra, purpose)
    reporter = getattr(sys.modules.get("openvino.tools.ovc"), "telemetry", None)
    if reporter is not None:
        reporter.consent = False  # if the user has imported it before
    return openvino


def import_huggingface_hub() -> ModuleType:
    """Return the module huggingface_hub, without data on this machine in its requests."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True  # if the user has imported it before
    return huggingface_hub
