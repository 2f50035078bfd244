"""Milvus Lite for the tests; `make test-cluster` runs the same tests on a server."""

import pytest
from milvus_collections import Milvus
from milvus_server import milvus_server as milvus_server

KINDS = ["lite", pytest.param("server", marks=pytest.mark.cluster)]


@pytest.fixture(scope="module", params=KINDS)
def milvus(request, tmp_path_factory) -> Milvus:
    pytest.importorskip("pymilvus", reason="the extra [cluster] is not installed")
    server = request.getfixturevalue("milvus_server") if request.param == "server" else None
    return Milvus(tmp_path_factory.mktemp("milvus"), server)
