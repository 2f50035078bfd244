"""Default number of images in a batch.

It depends on the backend alone: the last digits of a vector depend on the batch, and two runs on the same images must
give the same bytes.
"""

# benchmarks/extraction.py, MobileNetV2 on 2 cores, images/s for a batch of 4, 8, 16, 32, 64: ONNX Runtime 414, 411, 392,
# 350, 276; OpenVINO 395, 398, 358, 310, 278; TensorFlow 106, 121, 128, 138, 134.
DEFAULT_BATCHES = {"onnxruntime": 8, "openvino": 8, "scikit-image": 8, "tensorflow": 32, "torch": 32}
MAX_MEMORY = 2 * 10**9  # bytes, by default
IMAGE_BYTES = 50 * 10**6  # largest working memory of an image in a batch, over all networks


def default(backend: str, max_memory: int = MAX_MEMORY) -> int:
    """Return the batch of a backend, smaller if its working memory would exceed `max_memory`, in bytes."""
    return max(1, min(DEFAULT_BATCHES[backend], max_memory // IMAGE_BYTES))
