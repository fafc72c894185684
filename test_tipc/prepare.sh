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

case "$1" in
    */transunet/* | */swinunet/*)
        root=test_tipc/data/mini_synapse_dataset
        python -m tests.datasets.prepare.synapse_miniature "$root/raw" "$cases"
        python tools/prepare_abdomen.py --raw_dir "$root/raw" --dataset_root "$root" --num_workers 1
        ;;
    */unetr/*)
        root=test_tipc/data/mini_brainT_dataset
        python -m tests.datasets.prepare.brain_miniature "$root/raw" "$cases"
        python tools/prepare_msd_brain_seg.py --raw_dir "$root/raw" --dataset_root "$root" --num_workers 1
        ;;
    */nnformer/*)
        root=test_tipc/data/mini_acdc
        python -m tests.datasets.prepare.acdc_miniature "$root/raw" "$cases"
        python tools/prepare_acdc.py --raw_dir "$root/raw/database" --dataset_root "$root" --num_workers 1
        ;;
    */nnunet/*)
        python -m tests.datasets.prepare.lung_miniature test_tipc/data/mini_msd_lung "$cases"
        ;;
    *)
        python tools/prepare_mri_spine_seg.py --phantom "$cases" --size 32 32 12 \
            --dataset_root test_tipc/data/mini_spine_phantom --num_workers 1
        ;;
esac
