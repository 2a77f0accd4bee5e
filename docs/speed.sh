#!/usr/bin/env bash
# Reproduce the figures of docs/speed.md on an otherwise idle machine: docs/speed.sh PHOTOS
# PHOTOS is a folder of photographs of 2 megapixels each, 60 in docs/speed.md.
set -euo pipefail
photos=$(realpath "$1")
cd "$(dirname "$0")/.."
export XDG_CACHE_HOME=$(mktemp -d)
trap 'rm -rf "$XDG_CACHE_HOME"' EXIT
python=.venv/bin/python
spent() { /usr/bin/time -f "  %e s, %U + %S CPU s, %M kB" "$@" > /dev/null; }

uptime
for precision in float32 bfloat16; do
  $python -m tools.benchmark predict --models LAT E2ELAT MJLAT --frames 16 --precision $precision
  $python -m tools.benchmark predict --models REC --frames 8 --precision $precision
  $python -m tools.benchmark predict --models E2EREC MJREC --frames 2 --precision $precision
  $python -m tools.benchmark train --models REC --precision $precision
done
$python -m tools.benchmark train --models LAT MJLAT
$python -m tools.benchmark backbone --frames 256 --precision bfloat16

picture=samples/test/photo_wine_001.webp
for precision in auto float32; do
  for what in "$picture, first" "$picture, again"; do
    echo "predict $what, $precision:"
    spent $python MJLAT.py predict $picture --precision $precision
  done
  echo "predict $photos, $precision:"
  spent $python MJLAT.py predict "$photos" --precision $precision
done
echo "one Predictor, frames/s by 1 thread and by 8:"
$python - <<'END'
import glob, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from PIL import Image
from common import Predictor

predictor = Predictor("MJLAT", "weights/")
photo = np.asarray(Image.open(glob.glob("samples/test/*")[0]).convert("RGB").resize((1600, 1250)))
predictor.levels(photo)
for threads in (1, 8):
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(predictor.levels, [photo] * 64))
        print(f"  {threads}: {64 / (time.perf_counter() - start):.2f}")
END
