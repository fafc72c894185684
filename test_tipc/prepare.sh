#!/usr/bin/env bash
# bash test_tipc/prepare.sh PARAMS.txt MODE: make the small data set that the chain of PARAMS.txt trains on.
# The data are phantoms, generated here; nothing is downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -ne 2 ]; then
    echo "usage: bash test_tipc/prepare.sh PARAMS.txt MODE" >&2
    exit 2
fi
if [ ! -f "$1" ]; then
    echo "error: $1 does not exist" >&2
    exit 2
fi
case "$2" in
    lite_train_lite_infer | lite_train_whole_infer) cases=6 ;;
    whole_train_whole_infer) cases=60 ;;
    whole_infer) cases=6 ;;
    *) echo "error: mode '$2' has no data here; use lite_train_lite_infer, lite_train_whole_infer, whole_train_whole_infer or whole_infer" >&2; exit 2 ;;
esac

# images_in ROOT NAME RAW: the raw volumes ROOT/RAW under the name that PaddleSeg3D's texts have for the images, ROOT/NAME.
images_in() {
    if [ -e "$1/$2" ] && [ ! -L "$1/$2" ]; then return; fi
    mkdir -p "$(dirname "$1/$2")"
    ln -sfn "$(cd "$1/$3" && pwd)" "$1/$2"
}

config=$(sed -n 's/^norm_train:.*--config[ =]\([^ ]*\).*/\1/p' "$1")
data=$(cat "$1" "$config" 2> /dev/null | grep -oE 'mini_(lung_coronavirus|brainT_dataset|synapse_dataset|acdc|msd_lung|spine_phantom)' | head -n 1 || true)
root=test_tipc/data/$data
case "$data" in
    mini_synapse_dataset)
        python -m tests.datasets.prepare.synapse_miniature "$root/raw" "$cases"
        python tools/prepare_abdomen.py --raw_dir "$root/raw" --dataset_root "$root" --num_workers 1
        images_in "$root" test/images raw/RawData/Training/img
        ;;
    mini_brainT_dataset)
        python -m tests.datasets.prepare.brain_miniature "$root/raw" "$cases"
        python tools/prepare_msd_brain_seg.py --raw_dir "$root/raw" --dataset_root "$root" --num_workers 1
        images_in "$root" images raw/Task01_BrainTumour/imagesTr
        ;;
    mini_acdc)
        python -m tests.datasets.prepare.acdc_miniature "$root/raw" "$cases"
        python tools/prepare_acdc.py --raw_dir "$root/raw/database" --dataset_root "$root" --num_workers 1
        images_in "$root" images raw/images
        ;;
    mini_lung_coronavirus)
        python -m tests.datasets.prepare.corona_miniature "$root/raw" "$cases"
        python tools/prepare_lung_coronavirus.py --raw_dir "$root/raw" --size 32 32 32 --dataset_root "$root" --num_workers 1
        images_in "$root" images raw/20_ncov_scan
        ;;
    mini_msd_lung)
        python -m tests.datasets.prepare.lung_miniature "$root" "$cases"
        ;;
    mini_spine_phantom)
        python tools/prepare_mri_spine_seg.py --phantom "$cases" --size 32 32 12 --dataset_root "$root" --num_workers 1
        ;;
    *)
        echo "error: $1 and its --config name none of the data that are generated here: mini_lung_coronavirus, mini_brainT_dataset, mini_synapse_dataset, mini_acdc, mini_msd_lung, mini_spine_phantom; with data of your own leave this script out" >&2
        exit 2
        ;;
esac
