# make              set up what is missing and build into build/
# make test         build and run every test
# make demo         the whole road on Fashion-MNIST
# make test-python  check exported files in plain Python
# make asan | bench | tidy | format | install PREFIX=... | clean
# CPD_TORCH_DIR=... takes an existing LibTorch; JOBS=... limits parallel compilation.

BUILD ?= build
CPD_TORCH_DIR ?=
PREFIX ?= /usr/local
MEMORY_JOBS := $(shell awk '/MemAvailable/ {n = int($$2 / 2000000); print n < 1 ? 1 : n}' /proc/meminfo)
JOBS ?= $(shell n=$$(nproc); [ $$n -lt $(MEMORY_JOBS) ] && echo $$n || echo $(MEMORY_JOBS))
CMAKE_ARGS := $(if $(CPD_TORCH_DIR),-DCPD_TORCH_DIR=$(CPD_TORCH_DIR))
export CPD_TORCH_DIR
export CMAKE_GENERATOR ?= Ninja

.PHONY: all setup build test demo test-python asan bench tidy format install clean
.DEFAULT_GOAL := all

all: build

setup:
	@scripts/setup

build: setup
	@[ -f $(BUILD)/build.ninja ] || cmake -S . -B $(BUILD) $(CMAKE_ARGS)
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@cd $(BUILD) && OMP_NUM_THREADS=1 ctest --output-on-failure -j $(JOBS)

demo: build
	@$(BUILD)/bin/cpd demo

test-python: build
	@scripts/setup --python
	@OMP_NUM_THREADS=1 .deps/python-env/bin/python tests/python/run.py --build $(BUILD)

asan: setup
	@[ -f $(BUILD)-asan/build.ninja ] || cmake -S . -B $(BUILD)-asan $(CMAKE_ARGS) -DCPD_SANITIZE=ON -DCPD_BUILD_SAMPLES=OFF
	@cmake --build $(BUILD)-asan -j $(JOBS)
	@cd $(BUILD)-asan && OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 ctest --output-on-failure -j $(JOBS)

bench: setup
	@cmake -S . -B $(BUILD) $(CMAKE_ARGS) -DCPD_BUILD_BENCHMARKS=ON
	@cmake --build $(BUILD) -j $(JOBS)

tidy: build
	@git ls-files 'cpd/*.cpp' | xargs -n 1 -P $(JOBS) clang-tidy -quiet -p $(BUILD)

format:
	@git ls-files '*.cpp' '*.h' '*.inl' | xargs clang-format -i

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD) $(BUILD)-asan
