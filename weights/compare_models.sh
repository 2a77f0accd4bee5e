#!/bin/sh
# The six models, trained and tested on the same frames:
#
#     sh weights/compare_models.sh WORK [MODEL ...]
#
# in the project's folder, after weights/make.sh, whose frames and backbones are in WORK. Models are
# named after their scripts, as in MJREC; without any, all six. Stopped, the same command continues.
set -e
work=$(realpath "$1") root=$(realpath "$1")/six
shift
run() { "${PYTHON:-python3}" "$@"; }

# Every second frame of train, and all of valid and test.
for folder in train jnd1train jnd2train jnd3train; do
    mkdir -p "$root/data/$folder"
    ls "$work/data/$folder"/*.png | awk 'NR % 2' | xargs ln -sf -t "$root/data/$folder"
done
awk 'NR % 2' "$work/data/train/JND-Levels.txt" > "$root/data/train/JND-Levels.txt"
for split in valid test; do
    for folder in $split jnd1$split jnd2$split jnd3$split; do
        [ -e "$root/data/$folder" ] || ln -s "$work/data/$folder" "$root/data/$folder"
    done
done
ln -sf "$work/data/manifest.csv" "$root/data/manifest.csv"

for model in ${@:-LAT E2ELAT MJLAT REC E2EREC MJREC}; do
    case $model in
        E2E*) rate=1e-4 backbones=--ImgReconstruction_Model_Path ;;
        *) rate=1e-3 backbones=--JND_Recon_Models_Path ;;
    esac
    case $model in MJ*) level= ;; *) level="--jnd_value JND1" ;; esac
    run $model.py train --data_dir "$root/data" $level --checkpoint_path "$root/$model" --csv_log_path "$root/$model" \
        $backbones "$work/backbones" --recipe robust --epochs 8 --batch_size 16 --learning_rate $rate \
        --precision bfloat16 --resume
    run $model.py test --data_dir "$root/data" $level --model_weights_path "$root/$model" --result_path "$root/$model"
done
