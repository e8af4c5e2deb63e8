# i2i_dds in a container, on a CPU or on an NVIDIA GPU:
#   docker build -t i2i_dds .
#   docker run --rm -v "$PWD:/work" i2i_dds edit
#   docker build --build-arg TORCH=cu130 -t i2i_dds:cuda .
#   docker run --rm --gpus all -v "$PWD:/work" i2i_dds:cuda edit teacher=sd15 image=photo.jpg ...
# The page, for this machine alone:
#   docker run --rm -p 127.0.0.1:7860:7860 i2i_dds app host=0.0.0.0
FROM python:3.11-slim

# Which build of PyTorch: cpu, or a version of CUDA as its index names it.
ARG TORCH=cpu

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
RUN pip install "torch>=2.10,<2.14" --index-url "https://download.pytorch.org/whl/${TORCH}"

WORKDIR /src
COPY pyproject.toml LICENSE ./
COPY docs/package_index.md docs/
COPY conf conf
COPY src src
RUN pip install '.[app]' && rm -rf /src

# Runs write where they are started: into what is mounted there.
RUN useradd --create-home user && mkdir /work && chown user /work
USER user
WORKDIR /work
ENTRYPOINT ["i2i"]
CMD ["--help"]
