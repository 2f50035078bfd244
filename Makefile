# `make help` lists the targets. Requires make and a Python version that the pinned TensorFlow supports.

PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
BIN := .venv/bin
LAST_PICTURE := sample/water-lily/water-lily-24.jpg
LIST := sample_file_list.txt
VECTORS := $(LIST).saved_predictions.npy
INDEX := sample_file_list.faiss.index
DOCSTRINGS := docstrings_list.txt
TEXT_VECTORS := $(DOCSTRINGS).saved_predictions.npy
TEXT_INDEX := docstrings_list.faiss.index
# `make coco SET=val2017 NETWORK=efficientnetlite0`: vectors of another network than 2022's have a file of their own.
SET := val2014
NETWORK := vgg16
COCO := $(if $(filter val2017,$(SET)),ms_coco_val2017,ms_coco)
COCO_VECTORS := $(if $(filter vgg16,$(NETWORK)),$(COCO)_file_list.txt.saved_predictions,$(COCO)_$(NETWORK))
COCO_INDEX := $(if $(filter vgg16,$(NETWORK)),$(COCO)_file_list,$(COCO_VECTORS)).faiss.index
# Without a display, the address is printed and no browser is opened.
BROWSER := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname -s)),,--no-browser)

# Jupyter requires this option to run as root, for example in a container.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

JUPYTER = $(BIN)/jupyter notebook -y --ip=127.0.0.1 $(BROWSER) $(ROOT)
VOILA = JUPYTER_PATH=$(CURDIR)/app $(BIN)/voila --template=similar-images --Voila.ip=127.0.0.1 --Voila.auto_token=True --VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension $(BROWSER)

.PHONY: help install install-text install-cluster demo demo-text app app-text sample sample-text tweets coco test test-slow test-cluster lint docs screenshots clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

install: .venv/installed  ## create .venv with this package in place and what images need

install-text: .venv/installed-text  ## add the packages for texts: PyTorch, sentence-transformers, MiniLM

install-cluster: .venv/installed-cluster  ## add the packages for several machines: Ray, Milvus

ifdef FOLDER
demo: .venv/installed
	$(BIN)/similar-images demo "$$FOLDER" $(BROWSER)
else
demo: $(INDEX)  ## search a sample collection in a notebook, or with FOLDER=~/Pictures your own photographs
	test -e sample_images.ipynb || cp "Similar image.ipynb" sample_images.ipynb
	$(JUPYTER) --JupyterNotebookApp.default_url=/notebooks/sample_images.ipynb
endif

demo-text: $(TEXT_INDEX)  ## the same for texts: docstrings, or the tweets if downloaded
	test -e sample_texts.ipynb || cp Text_similarity.ipynb sample_texts.ipynb
	$(JUPYTER) --JupyterNotebookApp.default_url=/notebooks/sample_texts.ipynb

app: $(INDEX)  ## open the notebook as a page without code
	$(VOILA) "Similar image.ipynb"

app-text: $(TEXT_INDEX)  ## the same for texts
	$(VOILA) Text_similarity.ipynb

sample: $(INDEX)  ## build the sample collection: pictures, vectors, index

sample-text: $(TEXT_INDEX)  ## build the sample collection of texts: docstrings, vectors, index

tweets: .venv/installed-text  ## download 20,000 tweets; their index is in tweets/
	./scripts/get_sentiment140.sh

coco: .venv/installed  ## index COCO with VGG16: 13 GB, hours; SET=val2017 NETWORK=efficientnetlite0: 0.8 GB, minutes
	./get_ms_coco_dataset.sh $(SET)
	$(BIN)/python extract_image_vectors.py -l $(COCO)_file_list.txt -d $(firstword $(wildcard $(SET) ms_coco/$(SET)) $(SET)) -o $(COCO_VECTORS).npy $(if $(filter vgg16,$(NETWORK)),-m vgg_4096.h5,--network $(NETWORK))
	test -e $(COCO_INDEX).json || $(BIN)/python build_search_db.py -i $(COCO_VECTORS).npy -o $(COCO_INDEX) --overwrite

test: .venv/installed-dev  ## run all tests but the slow ones
	./scripts/check_javascript.sh test
	$(BIN)/python -m pytest -m "not slow and not cluster" --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: .venv/installed-dev  ## run the slow tests: installed package, lowest versions, benchmarks
	$(BIN)/python -m pytest -m "slow and not cluster" --numprocesses auto --maxprocesses 4 --dist loadfile

test-cluster: .venv/installed-dev .venv/installed-cluster .venv/milvus/installed  ## run the tests of several machines; those with networks need root
	$(BIN)/python -m pytest -m cluster

lint: .venv/installed-dev  ## check style, format, imports, types and English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python scripts/check_prose.py
	$(BIN)/shellcheck --external-sources *.sh scripts/*.sh .ci/run
	./scripts/check_javascript.sh lint

docs: .venv/installed-dev  ## write docs/reference from the commands and the docstrings
	$(BIN)/python -m sphinx -q -E -W -b markdown -d .sphinx docs/sphinx docs/reference

screenshots: $(INDEX) $(TEXT_INDEX) .venv/installed-dev  ## renew the README's pictures; requires Chromium
	$(BIN)/python docs/screenshot.py

clean:  ## remove .venv and the sample collections
	rm -rf .venv sample $(LIST)* sample_file_list.faiss.index* sample_small.faiss.index* $(DOCSTRINGS)* $(TEXT_INDEX)*

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("expected Python 3.11 to 3.13, got %d.%d: choose one with make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# Several times as large; images do not need it.
.venv/installed-text: requirements/text.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/text.txt
	touch $@

.venv/installed-cluster: requirements/cluster.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/cluster.txt
	touch $@

.venv/installed-dev: requirements/dev.txt requirements/cluster.txt .venv/installed-text
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	touch $@

# A Milvus server for tests alone, in a folder of its own: its package is of 2023, and nothing of it is imported.
.venv/milvus/installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target .venv/milvus milvus==2.3.5
	touch $@

# The last picture shows that all are there.
$(LAST_PICTURE): .venv/installed $(wildcard similar_images/samples/pictures/*.py)
	test ! -e $@ || rm -r sample
	$(BIN)/python -m similar_images.cli.sample sample

$(VECTORS): $(LAST_PICTURE)
	$(BIN)/similar-images extract -d sample --network efficientnetlite0 --overwrite

$(INDEX): $(VECTORS)
	$(BIN)/similar-images build -i $(VECTORS) --overwrite

$(DOCSTRINGS): .venv/installed-text similar_images/samples/docstrings.py
	$(BIN)/python -m similar_images.samples.docstrings $@

$(TEXT_VECTORS): $(DOCSTRINGS)
	$(BIN)/similar-images extract-texts $(DOCSTRINGS) --overwrite

$(TEXT_INDEX): $(TEXT_VECTORS)
	$(BIN)/similar-images build -i $(TEXT_VECTORS) --overwrite
