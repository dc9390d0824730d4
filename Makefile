# make              set up what is missing and build into build/
# make test         build and run every test
# make demo         the whole road on Fashion-MNIST
# make test-python  check exported files in plain Python
# make asan         build with sanitizers into build-asan/ and run every test
# make bench        build the benchmarks
# make tidy         clang-tidy on the sources that differ from BASE (default: the last commit)
# make format | install PREFIX=... | clean
# CPD_TORCH_DIR=... takes an existing LibTorch; JOBS=... limits parallel compilation.

BUILD ?= build
CPD_TORCH_DIR ?=
PREFIX ?= /usr/local
BASE ?= HEAD~1
# One compiler process takes up to 2 GB.
MEMORY_JOBS := $(shell awk '/MemAvailable/ {n = int($$2 / 2000000); print n < 1 ? 1 : n}' /proc/meminfo)
JOBS ?= $(shell n=$$(nproc); [ $$n -lt $(MEMORY_JOBS) ] && echo $$n || echo $(MEMORY_JOBS))
CMAKE_CXX_COMPILER_LAUNCHER ?= $(shell which ccache 2> /dev/null)
export CPD_TORCH_DIR CMAKE_CXX_COMPILER_LAUNCHER

# $(call configure,FOLDER,SETTINGS): configures a folder anew only where the settings differ from
# the last time's; CMake itself sees to changed files.
SETTINGS = $(if $(CPD_TORCH_DIR),-DCPD_TORCH_DIR=$(abspath $(CPD_TORCH_DIR)))
define configure
	@mkdir -p $(1)
	@generator=$$(command -v ninja > /dev/null && echo Ninja || echo 'Unix Makefiles'); \
	if [ ! -e $(1)/CMakeCache.txt ]; then \
	  cmake -S . -B $(1) -G "$$generator" $(SETTINGS) $(2) && echo '$(SETTINGS) $(2)' > $(1)/settings; \
	elif [ "$$(cat $(1)/settings 2> /dev/null)" != '$(SETTINGS) $(2)' ]; then \
	  cmake -S . -B $(1) $(SETTINGS) $(2) && echo '$(SETTINGS) $(2)' > $(1)/settings; \
	fi
endef
WITHOUT_LEAKS = ASAN_OPTIONS=detect_leaks=0  # LibTorch keeps its registries to the end

.PHONY: all setup build test demo test-python asan bench tidy format install clean
.DEFAULT_GOAL := all

all: build

setup:
	@scripts/setup

build: setup
	$(call configure,$(BUILD),)
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@cd $(BUILD) && OMP_NUM_THREADS=1 ctest --output-on-failure -j $(JOBS)

demo: setup
	$(call configure,$(BUILD),)
	@cmake --build $(BUILD) -j $(JOBS) --target cpd_program
	@$(BUILD)/bin/cpd demo -o $(BUILD)/demo --force

test-python: build
	@scripts/setup --python
	@OMP_NUM_THREADS=1 .deps/python-env/bin/python tests/python/run.py --build $(BUILD)

asan: setup
	$(call configure,$(BUILD)-asan,-DCPD_SANITIZE=ON -DCPD_BUILD_SAMPLES=OFF)
	@cmake --build $(BUILD)-asan -j $(JOBS)
	@cd $(BUILD)-asan && OMP_NUM_THREADS=1 $(WITHOUT_LEAKS) ctest --output-on-failure -j $(JOBS)

bench: setup
	$(call configure,$(BUILD),-DCPD_BUILD_BENCHMARKS=ON)
	@cmake --build $(BUILD) -j $(JOBS)

tidy: build
	@git diff --name-only --diff-filter=d $(BASE) -- 'cpd/*.cpp' 'tests/*.cpp' 'samples/*.cpp' | \
	  xargs -r -n 1 -P $(JOBS) clang-tidy -quiet -p $(BUILD)

format:
	@git ls-files '*.cpp' '*.h' '*.inl' | xargs clang-format -i

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD) $(BUILD)-asan
