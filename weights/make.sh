#!/bin/sh
# The default models from photographs, by the project's own commands:
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
stage_1 --target Img --epochs 3
for level in JND1 JND2 JND3; do
    stage_1 --target $level --epochs 1 --init "$work/backbones"
done

# A head and a regression on whole pictures, and their figures. The backbones are those of H.264.
make_model() {
    codec=$1 name=$2 folder=$work/$1
    prepare --codec $codec --labels_of whole --crops 2 --vary 1 --out "$folder/whole"
    prepare --codec $codec --labels_of whole --widths 1920 --keep_size --out "$folder/own"
    run MJLAT train --data_dir "$folder/whole" --checkpoint_path "$folder/checkpoints" --csv_log_path "$folder/logs" \
        --JND_Recon_Models_Path "$work/backbones" --recipe robust --epochs 16 --batch_size 32 --learning_rate 1e-3 \
        --precision bfloat16 --cache_precision float16 --resume
    run MJLAT refine --data_dir "$folder/whole" --model_weights_path "$folder/checkpoints/BestModel.h5" \
        --out "$folder/refined.h5" --overwrite
    run common.compact "$folder/refined.h5" "$folder/$name.h5" --overwrite
    run tools.card "$folder/own" "$folder/$name.h5" "$work/cache"
}
make_model h264 MJLAT
make_model jpeg MJLAT-jpeg
