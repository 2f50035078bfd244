# One command each; `make help` lists them. They need a Python that the pinned TensorFlow supports, and make.

PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
BIN := .venv/bin
LIST := sample_file_list.txt
VECTORS := $(LIST).saved_predictions.npy
INDEX := sample_file_list.faiss.index
DOCSTRINGS := docstrings_list.txt
TEXT_VECTORS := $(DOCSTRINGS).saved_predictions.npy
TEXT_INDEX := docstrings_list.faiss.index
COCO := ms_coco_file_list
# Without a display, or on a server, the address is printed and no browser is opened.
BROWSER := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname -s)),,--no-browser)

# Jupyter serves the user root, in a container for instance, only where it is told to.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

JUPYTER = $(BIN)/jupyter notebook -y --ip=127.0.0.1 $(BROWSER) $(ROOT)
VOILA = JUPYTER_PATH=$(CURDIR)/app $(BIN)/voila --template=similar-images --Voila.ip=127.0.0.1 --Voila.auto_token=True --VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension $(BROWSER)

.PHONY: help install install-text demo demo-text app app-text sample sample-text tweets coco test test-slow lint screenshots clean
.DELETE_ON_ERROR:

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

install: .venv/installed  ## make .venv with all packages

install-text: .venv/installed-text  ## make .venv with what texts need too: PyTorch, sentence-transformers, MiniLM

demo: $(INDEX)  ## the whole way on the sample collection, then the notebook in the browser
	$(JUPYTER) --JupyterNotebookApp.default_url="/notebooks/Similar%20image.ipynb"

demo-text: $(TEXT_INDEX)  ## the same for texts: docstrings, or the tweets where they are
	$(JUPYTER) --JupyterNotebookApp.default_url=/notebooks/Text_similarity.ipynb

app: $(INDEX)  ## the notebook as a page without code, in the browser
	$(VOILA) "Similar image.ipynb"

app-text: $(TEXT_INDEX)  ## the same for texts
	$(VOILA) Text_similarity.ipynb

sample: $(INDEX)  ## the sample collection with its vectors and index, without the notebook

sample-text: $(TEXT_INDEX)  ## the sample collection of texts, docstrings, with its vectors and index

tweets: .venv/installed-text  ## 20,000 tweets, to be searched with the index that is in tweets/
	./get_sentiment140.sh

coco: .venv/installed  ## the whole way with COCO's 40,504 images and VGG16: 13 GB, hours without a GPU
	./get_ms_coco_dataset.sh val2014
	$(BIN)/python extract_image_vectors.py -l $(COCO).txt -d $(firstword $(wildcard val2014 ms_coco/val2014) val2014) -m vgg_4096.h5
	test -e $(COCO).faiss.index.json || $(BIN)/python build_search_db.py -i $(COCO).txt.saved_predictions.npy -o $(COCO).faiss.index --overwrite

test: .venv/installed-dev  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: .venv/installed-dev  ## the slow tests: the package in empty environments, from a package index
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-dev  ## check style, format, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/shellcheck --external-sources *.sh scripts/*.sh .ci/run

screenshots: $(INDEX) $(TEXT_INDEX) .venv/installed-dev  ## take the README's pictures anew, with a Chromium that is installed
	$(BIN)/python docs/screenshot.py

clean:  ## remove .venv, the sample collection and what was made of it
	rm -rf .venv sample $(LIST)* sample_file_list.faiss.index* sample_small.faiss.index* $(DOCSTRINGS)* $(TEXT_INDEX)*

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("expected Python 3.11 to 3.13, got %d.%d: name one with make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# What texts need is several times as much: images do without it.
.venv/installed-text: requirements-text.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-text.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed-text
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

sample/.whole: .venv/installed $(wildcard similar_images/samples/pictures/*.py)
	$(BIN)/python -m similar_images.cli.sample sample
	touch $@

$(VECTORS): sample/.whole similar_images/networks/hog_colour.py
	$(BIN)/python extract_image_vectors.py -d sample --network hog-colour --overwrite

$(INDEX): $(VECTORS)
	$(BIN)/python build_search_db.py -i $(VECTORS) -o sample_small.faiss.index --recipe PCA8,SQ8 --overwrite
	$(BIN)/python build_search_db.py -i $(VECTORS) --overwrite

$(DOCSTRINGS): .venv/installed-text similar_images/samples/docstrings.py
	$(BIN)/python -m similar_images.samples.docstrings $@

$(TEXT_VECTORS): $(DOCSTRINGS)
	$(BIN)/python extract_text_vectors.py $(DOCSTRINGS) --overwrite

$(TEXT_INDEX): $(TEXT_VECTORS)
	$(BIN)/python build_search_db.py -i $(TEXT_VECTORS) --overwrite
