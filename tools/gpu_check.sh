#!/usr/bin/env bash
# Prove this project on a lent NVIDIA H200: a machine with Python 3.12, PyTorch's CUDA 13 libraries
# and no network, to which 64 MiB travel per call, the working tree included.
#
# Here, where pip works, before a machine is asked for (10 to 20 minutes, and 5 GB of disk):
#
#   echo /.gpu/ >> .git/info/exclude
#   bash tools/gpu_check.sh pack .gpu
#
# downloads TensorFlow and what else that machine lacks (.gpu/wheels), leaves out what is not run,
# among it machine code for other cards, and cuts the rest into slices that fit a call beside the
# working tree, each in a folder of its own, and prints how many: site.000 to site.003 (210 MB), and
# CUDA 12's cuBLAS and cuDNN, cuda.000 to cuda.004 (270 MB), only to be sent if those there fail.
# XZ_LEVEL=6 makes them a tenth smaller in ten times the time.
#
# Then make room in the working tree; `git checkout weights` brings the default models back later:
#
#   rm weights/*.h5
#
# On the machine, calls of the tool `run`, one right after the other (it stays warm for 30 s). They
# send a slice each, in any order; the last one unpacks them all. The times are guesses:
#
#   run(carry=[".gpu/site.000"], timeout_s=60, command="bash tools/gpu_check.sh join .gpu/site.000")
#   ... likewise each site.NNN: about 90 s for the first, which starts the machine, then some 15 s
#   each; the last one takes some 40 s more. The first one fails if Python has another version, and
#   names the CUDA libraries that are missing: that should be libcudart.so.12 alone, which is sent
#   run(timeout_s=180, command="bash tools/gpu_check.sh check golden LAT"): 90 s
#   if a library is missing or golden fails: cuda.NNN likewise, and check golden LAT again
#   run(timeout_s=360, command="bash tools/gpu_check.sh check Img REC MJLAT MJREC E2ELAT E2EREC"):
#   at most 340 s; parts that were out of time, in a call of their own
#   give_back
#
# After each `check`, copy its files away: only those of the last call can be fetched. One table of
# all, for docs/speed.md, is then made here: python -m tools.gpu_check table FILE.jsonl...
#
# `check [PART...]` measures the given parts, by default all. It writes gpu_check.md (the table),
# gpu_check.jsonl and log to $OUT; a part that fails or is out of time does not stop the others.
# Weights are not sent: those of the golden outputs are made from a seed, others are random.
#
# A dry run on a CPU, from slices of any folder:
#
#   for slice in .gpu/site.*; do
#     cp -r $slice /tmp/sent; bash tools/gpu_check.sh join /tmp/sent; rm -r /tmp/sent
#   done
#   CUDA_VISIBLE_DEVICES= GPU_CHECK_SMALL=1 OUT=/tmp/out bash tools/gpu_check.sh check
set -euo pipefail
python=${PYTHON:-python3}
version=${PYTHON_VERSION:-3.12}
place=${GPU_CHECK_PLACE:-/tmp/gpu_check}  # on the lent machine
limit=64                                  # MiB per call

# What is missing there, by its list of packages, or of an unknown version and small. TensorFlow
# wants h5py and NumPy too; it was tried with NumPy 2.5.2 as it is there.
wheels=(
  tensorflow==2.21.0 tf_keras==2.21.0 absl_py==2.5.1 astunparse==1.6.3 constriction==0.5.0
  et_xmlfile==2.0.0 ffmpeg_python==0.2.0 flatbuffers==25.12.19 future==1.0.0 gast==0.7.0
  google_pasta==0.2.0 imageio_ffmpeg==0.8.1 natsort==8.4.0 nvidia-cuda-nvcc-cu12==12.5.82
  nvidia-cuda-runtime-cu12==12.5.82 openpyxl==3.1.5 opt_einsum==3.4.0 packaging==26.4
  platformdirs==4.14.8 protobuf==6.33.5 six==1.17.0 termcolor==3.3.0 typing_extensions==4.16.0
  wrapt==2.5.2
)
cuda=(nvidia-cublas-cu12==12.5.3.2 nvidia-cudnn-cu12==9.3.0.75)
left_out=(
  '*/include/*' '*/tests/*' 'imageio_ffmpeg/binaries/*' 'tensorflow/lite/*/*.tflite'
  'tensorflow/compiler/mlir/stablehlo/*.so' '*/_xla_ops.so' 'nvidia/*/lib/libnvblas*'
  'nvidia/*/libnvvm*' '*/nvcc' '*/cicc' '*/cudafe++' '*/fatbinary' '*/nvlink'
)

pack() {
  mkdir -p "$1" && folder=$(realpath "$1")
  rm -rf "$folder"/{site,cuda}.[0-9]*
  pack_wheels site "${wheels[@]}"
  pack_wheels cuda "${cuda[@]}"
  for name in site cuda; do
    echo "$name: $(find "$folder" -path "*/$name.*/part" | wc -l) calls," \
      "$(cat "$folder/$name".*/part | wc -c) bytes"
  done
}

# pack_wheels NAME WHEEL...: download and unpack wheels, and write the slices NAME.000, ...
pack_wheels() {
  local name=$1 platforms=(1 2014 _2_17 _2_27 _2_28) libraries unpacked room
  shift
  platforms=("${platforms[@]/#/--platform=manylinux}")
  unpacked=$(mktemp -d -p "$folder")
  "$python" -m pip download -q --no-deps --only-binary=:all: --implementation cp \
    --python-version "$version" "${platforms[@]/%/_x86_64}" \
    -d "$folder/wheels/$name" "$@"
  for wheel in "$folder/wheels/$name"/*.whl; do
    unzip -qo "$wheel" -d "$unpacked" -x "${left_out[@]}" 2> /dev/null || [ $? = 11 ]
  done
  mapfile -t libraries < <(find "$unpacked" -name '*.so*' -type f)
  strip --strip-all "${libraries[@]}"
  "$python" -m tools.gpu_libraries prune "${libraries[@]}"
  room=$((limit * 1024 * 1024 - 1024 * 1024 -
    $(git ls-files -z -co --exclude-standard -- . ':!weights/*.h5' |
      du -bc --files0-from=- | tail -1 | cut -f 1)))
  tar -C "$unpacked" -c . | xz -T 0 "-${XZ_LEVEL:-1}" |
    split -b "$room" -a 3 -d - "$unpacked.$name."
  rm -r "$unpacked"
  for slice in "$unpacked.$name."*; do
    mkdir "$folder/$name.${slice##*.}"
    mv "$slice" "$folder/$name.${slice##*.}/part"
  done
  for slice in "$folder/$name".*/; do
    (cd "$folder" && sha256sum "$name".*/part) > "$slice/all"
  done
}

# join FOLDER: keep the slice in FOLDER, and unpack once all of its name are here.
join() {
  local name found
  found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ "$found" = "$version" ] || { echo "gpu_check: Python $found, packed for $version" >&2; exit 1; }
  "$python" -m tools.gpu_libraries link "$(mktemp -d)" > /dev/null || true # tells what is missing
  slice=$(basename "$(grep -F "$(sha256sum < "$1/part" | cut -d ' ' -f 1)" "$1/all" |
    cut -c 67- | xargs -r dirname)")
  [ -n "$slice" ] || { echo "gpu_check: $1/part is damaged: send it again" >&2; exit 1; }
  name=${slice%.*}
  mkdir -p "$place/$slice" && mv "$1/part" "$1/all" "$place/$slice"
  cd "$place"
  if ! sha256sum --check --status "$slice/all" 2> /dev/null; then
    echo "$slice is here: $(find . -path "./$name.*/part" | wc -l) of $(wc -l < "$slice/all")"
    return
  fi
  cat "$name".*/part | "$python" -c 'import sys, tarfile
tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz").extractall("site")'
  rm -r "${name:?}".*/
  "$python" -m compileall -q -j 0 site &> /dev/null || true  # some of it is Python 2
  echo "$name is unpacked in $place/site: $(du -sh site | cut -f 1)"
}

check() {
  local failed=0
  OUT=$(realpath "${OUT:-.}")
  export OUT PYTHONPATH=$place/site:$PWD PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=0
  export CUDA_CACHE_MAXSIZE=4294967296
  export XLA_FLAGS=--xla_gpu_cuda_data_dir=$place/site/nvidia/cuda_nvcc
  if [ -n "${CUDA_VISIBLE_DEVICES-all}" ]; then
    paths=$("$python" -m tools.gpu_libraries link "$place/cuda")
    export LD_LIBRARY_PATH=$paths:${LD_LIBRARY_PATH:-}
    "$python" -m tools.gpu_libraries load
  fi
  [ $# -gt 0 ] || set -- golden LAT Img REC MJLAT E2EREC MJREC E2ELAT
  export GPU_CHECK_PLACE=$place
  "$python" -m tools.gpu_check noise &
  : > "$OUT/gpu_check.jsonl"
  for part in "$@"; do
    run_part "$part" >> "$OUT/log" 2>&1 || { failed=1; echo "$part failed: see $OUT/log"; }
  done
  "$python" -m tools.gpu_check table || failed=1
  cat "$OUT/gpu_check.md"
  return $failed
}

# Run a part for at most PART_SECONDS, and all for at most 330 s.
run_part() {
  local left=$((${ALL_SECONDS:-330} - SECONDS))
  [ "$1" = golden ] || wait # for the noise
  echo "== $1, after $SECONDS s"
  [ $left -gt 10 ] || { echo "out of time"; return 1; }
  timeout -k 5 $((left < ${PART_SECONDS:-90} ? left : ${PART_SECONDS:-90})) \
    "$python" -m tools.gpu_check "$1"
}

"$@"
