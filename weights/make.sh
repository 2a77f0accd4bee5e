#!/bin/sh
# The default model from photographs, by the project's own commands:
#
#     sh weights/make.sh PHOTOS WORK
#
# in the project's folder. Stopped, the same command goes on where it was. What it took, and what
# came of it, is in README.md beside this.
set -e
photos=$1 work=$2
run() { "${PYTHON:-python3}" -m "$@"; }
prepare() { run common.prepare photos --images "$photos" --split 100/0/0 --test_contents weights/held_out.txt --valid_contents weights/valid.txt "$@"; }
stage_1() { run common.reconstruct train --data_dir "$work/data" --checkpoint_path "$work/backbones" --csv_log_path "$work/logs" --lambda 0.1 --precision bfloat16 --resume "$@"; }

prepare --out "$work/data"
prepare --labels_of whole --crops 2 --vary 1 --out "$work/whole"
prepare --labels_of whole --widths 1920 --keep_size --out "$work/own"
stage_1 --target Img --epochs 3
for level in JND1 JND2 JND3; do
    stage_1 --target $level --epochs 1 --init "$work/backbones"
done
"${PYTHON:-python3}" MJLAT.py train --data_dir "$work/whole" --checkpoint_path "$work/checkpoints" --csv_log_path "$work/logs" \
    --JND_Recon_Models_Path "$work/backbones" --recipe robust --epochs 16 --batch_size 32 --learning_rate 1e-3 \
    --precision bfloat16 --cache_precision float16 --resume
"${PYTHON:-python3}" MJLAT.py refine --data_dir "$work/whole" --model_weights_path "$work/checkpoints/BestModel.h5" \
    --out "$work/refined.h5" --overwrite
rm -f "$work/MJLAT.h5"
run common.compact "$work/refined.h5" "$work/MJLAT.h5"
run tools.card "$work/own" "$work/MJLAT.h5" "$work/cache"
