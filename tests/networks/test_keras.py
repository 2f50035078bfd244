import io
import json
import shutil
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import h5py
import numpy as np
import pytest
import random_networks
from PIL import Image
from sample_images import encoded

from similar_images.inputs import images
from similar_images.inputs.images import read_pixels, resize_to_square
from similar_images.networks import keras as keras_networks
from similar_images.networks.catalog import NETWORKS, NetworkUnavailable

load = partial(random_networks.load, engine="tensorflow")  # the other backends: test_onnx.py

KERAS_NETWORKS = [network for network in NETWORKS.values() if network.keras]


@pytest.fixture(scope="session")
def keras():
    return keras_networks.import_keras()


@pytest.fixture(scope="session")
def mobilenet(keras, tmp_path_factory):
    """A folder with MobileNetV2, with random weights, in all formats of Keras."""
    from keras.src.legacy.saving import legacy_h5_format

    folder = tmp_path_factory.mktemp("mobilenet")
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
    model.save(folder / "whole.keras")
    model.save(folder / "whole.h5")
    model.save_weights(folder / "own.weights.h5")
    with h5py.File(folder / "imagenet.h5", "w") as file:  # the format of Keras' own downloads
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return folder


def pixels(n: int, side: int = 224) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("network", KERAS_NETWORKS, ids=lambda network: network.name)
def test_table_matches_keras(keras, network):
    build = getattr(keras_networks._keras_module(network), network.keras.split(".")[1])
    top = {} if network.layer else {"include_top": False, "pooling": "avg"}
    model = keras_networks._cut(build(weights=None, input_shape=(network.side, network.side, 3), **top), network)
    assert model.input_shape == (None, network.side, network.side, 3)
    assert model.output_shape == (None, network.dimension)
    assert network.resampling in images.RESAMPLINGS


def test_vgg16_of_2022_equals_a_plain_loop_of_predict(keras, tmp_path):
    keras.utils.set_random_seed(0)
    whole = keras.applications.VGG16(weights=None)
    fc2 = keras.Model(whole.inputs, whole.get_layer("fc2").output)
    fc2.save(tmp_path / "vgg_4096.h5")
    batch = pixels(3)
    expected = np.concatenate(
        [
            fc2.predict(keras.applications.vgg16.preprocess_input(one[None].astype("float32")), verbose=0)
            for one in batch
        ]
    )
    got = load("vgg16", tmp_path / "vgg_4096.h5").encode(batch)
    assert got.shape == (3, 4096) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_nearest_resampling_equals_keras(keras):
    photograph = np.random.default_rng(0).integers(0, 256, (301, 450, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(photograph), "JPEG")
    expected = np.asarray(keras.utils.load_img(io.BytesIO(content), target_size=(224, 224), interpolation="nearest"))
    assert np.array_equal(read_pixels(content, resize_to_square(224, "nearest")), expected)


def test_classifier_is_cut_off(keras, tmp_path):
    keras.backend.clear_session()
    whole = keras.applications.VGG16(weights=None)
    whole.save_weights(tmp_path / "vgg.weights.h5")
    encoder = load("vgg16", weights_file=tmp_path / "vgg.weights.h5")
    assert encoder.encode(pixels(1)).shape == (1, 4096)


def test_same_weights_in_any_format_are_the_same_network(mobilenet):
    encoders = [
        load("mobilenetv2", mobilenet / "whole.keras"),
        load("mobilenetv2", mobilenet / "whole.h5"),
        load("mobilenetv2", weights_file=mobilenet / "own.weights.h5"),
        load("mobilenetv2", weights_file=mobilenet / "imagenet.h5"),
    ]
    assert len({encoder.description.weights for encoder in encoders}) == 1
    vectors = [encoder.encode(pixels(2)) for encoder in encoders]
    for other in vectors[1:]:
        np.testing.assert_allclose(vectors[0], other, rtol=1e-5, atol=1e-6)


def test_encoding_does_not_change_the_pixels(mobilenet):
    batch = pixels(2)
    load("mobilenetv2", mobilenet / "whole.keras").encode(batch)
    assert np.array_equal(batch, pixels(2))


def test_network_is_saved_to_a_new_file(mobilenet, tmp_path):
    first = load("mobilenetv2", tmp_path / "new.h5", mobilenet / "own.weights.h5")
    assert load("mobilenetv2", tmp_path / "new.h5").description == first.description
    assert [file.name for file in tmp_path.iterdir()] == ["new.h5"]


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_network_with_code_is_refused_before_loading(keras, tmp_path, form, monkeypatch):
    image = keras.Input((224, 224, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2, output_shape=(3,))(pooled)).save(tmp_path / f"bad.{form}")
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("Keras saw the file"))
    with pytest.raises(ValueError, match="refused: its layer Lambda runs code"):
        load("mobilenetv2", tmp_path / f"bad.{form}")


def test_network_with_foreign_modules_is_refused(mobilenet, tmp_path):
    shutil.copy(mobilenet / "whole.keras", tmp_path / "bad.keras")
    with zipfile.ZipFile(mobilenet / "whole.keras") as good, zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        config = json.loads(good.read("config.json"))
        config["config"]["layers"][3]["module"] = "os.path"
        bad.writestr("config.json", json.dumps(config))
    with pytest.raises(ValueError, match=r"refused.*module os\.path"):
        load("mobilenetv2", tmp_path / "bad.keras")


def test_unsuitable_files_are_refused_with_the_expected_form(mobilenet, tmp_path):
    (tmp_path / "text.h5").write_text("no network")
    (tmp_path / "cut.h5").write_bytes((mobilenet / "whole.h5").read_bytes()[:100_000])
    with h5py.File(tmp_path / "other.weights.h5", "w") as file:
        file["layer"] = [1.0, 2.0]
    for arguments, message in (
        (("resnet50", mobilenet / "whole.keras"), r"does not fit resnet50: expected output \(None, 2048\)"),
        (("mobilenetv2", mobilenet / "own.weights.h5"), "contains weights only: give it with --weights"),
        (("mobilenetv2", tmp_path / "text.h5"), "is not an HDF5 file, or it is truncated"),
        (("mobilenetv2", tmp_path / "cut.h5"), "is not an HDF5 file, or it is truncated"),
        (("mobilenetv2", tmp_path), "got the folder"),
        (("mobilenetv2", tmp_path / "new.onnx"), r"expected a file ending in \.h5 or \.keras"),
        (("mobilenetv2", tmp_path / "no" / "folder.h5"), "there is no folder"),
        (("mobilenetv2", None, tmp_path / "text.h5"), "is not an HDF5 file"),
        (("mobilenetv2", None, tmp_path / "absent.h5"), "there is no file"),
        (("mobilenetv2", None, tmp_path / "other.weights.h5"), "does not fit mobilenetv2: expected weights of"),
        (("resnet50", None, mobilenet / "own.weights.h5"), "does not fit resnet50: expected weights of"),
        (("hog-colour", mobilenet / "whole.h5"), "has no weights"),
        (("alexnet",), "expected a network of vgg16"),
    ):
        with pytest.raises(ValueError if "folder.h5" not in str(arguments) else OSError, match=message):
            load(*arguments)


def test_weights_of_another_network_raise_one_line_without_warnings(mobilenet, tmp_path, recwarn):
    with pytest.raises(ValueError) as raised:
        load("vgg16", weights_file=mobilenet / "own.weights.h5")
    assert str(raised.value) == (
        f"{mobilenet / 'own.weights.h5'} does not fit vgg16: expected weights of keras.applications.vgg16.VGG16 with its "
        f"classifier, 32 arrays, got 260 arrays, of other shapes"
    )
    assert not recwarn.list


@pytest.fixture
def imagenet(keras, tmp_path, monkeypatch):
    """Serve ImageNet weights to Keras on loopback; `content` is the answer."""

    class Handler(BaseHTTPRequestHandler):
        content: bytes | None = None

        def do_GET(self):
            if self.content is None:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *args):
            pass

    from keras.src.applications import mobilenet_v2
    from keras.src.utils import file_utils

    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", f"http://127.0.0.1:{server.server_port}/")
        yield Handler
        server.shutdown()


def test_imagenet_weights_are_downloaded_once_and_saved(imagenet, mobilenet, tmp_path, capsys):
    imagenet.content = (mobilenet / "imagenet.h5").read_bytes()
    saved = tmp_path / "mobilenet.h5"
    first = load("mobilenetv2", saved)
    assert capsys.readouterr().out == ""
    imagenet.content = None
    assert load("mobilenetv2", saved).description == first.description
    assert load("mobilenetv2").description == first.description  # from Keras' cache


def test_failed_download_names_weights_and_alternatives(imagenet, tmp_path):
    with pytest.raises(NetworkUnavailable) as raised:
        load("mobilenetv2", tmp_path / "new.h5")
    message = str(raised.value)
    for part in (
        "ImageNet weights of mobilenetv2",
        "http://127.0.0.1",
        "503",
        "-m",
        "--weights",
        "(1) use --network efficientnetlite0",
        "Alternatives",
    ):
        assert part in message
    assert not (tmp_path / "new.h5").exists()
