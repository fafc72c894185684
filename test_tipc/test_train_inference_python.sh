#!/usr/bin/env bash
# bash test_tipc/test_train_inference_python.sh PARAMS.txt MODE: train, evaluate, export and infer as PARAMS.txt says.
# Logs are in test_tipc/output/MODEL/MODE; results_python.log says how each command ended. Exits with 1 if one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
source test_tipc/common_func.sh

if [ $# -ne 2 ] || [ ! -f "$1" ]; then
    echo "usage: bash test_tipc/test_train_inference_python.sh PARAMS.txt MODE (PARAMS.txt must exist)" >&2
    exit 2
fi
read_params "$1"
mode=$2
if [ "${#lines[@]}" -lt 52 ]; then
    echo "error: $1 has ${#lines[@]} lines, a train_infer_python.txt has 52" >&2
    exit 2
fi
case "$mode" in
    lite_train_lite_infer | lite_train_whole_infer | whole_train_whole_infer) train=1 ;;
    whole_infer) train=0 ;;
    *) echo "error: mode '$mode' is not supported: lite_train_lite_infer, lite_train_whole_infer, whole_train_whole_infer, whole_infer" >&2; exit 2 ;;
esac

model_name=$(value 1)
python=$(value 2)
log_path=test_tipc/output/$model_name/$mode
status_log=$log_path/results_python.log
mkdir -p "$log_path"
: > "$status_log"
use_scripts_here 15 23 29 37 39

# infer DEPLOY_FOLDER NAME: every combination of device options on line 39 and after.
infer() {
    local use_gpu=$3 mkldnn threads batch trt precision name
    IFS='|' read -ra batches <<< "$(value 43)"
    if [ "$use_gpu" = -1 ]; then
        IFS='|' read -ra mkldnns <<< "$(value 41)"
        IFS='|' read -ra thread_counts <<< "$(value 42)"
        for mkldnn in "${mkldnns[@]}"; do for threads in "${thread_counts[@]}"; do for batch in "${batches[@]}"; do
            name=python_infer_cpu_usemkldnn_${mkldnn}_threads_${threads}_precision_fp32_batchsize_${batch}
            run "$python $(value 39) $(flag "$(key 40)" cpu) $(flag "$(key 41)" "$mkldnn") $(flag "$(key 42)" "$threads") \
$(flag "$(key 43)" "$batch") $(flag "$(key 45)" fp32) $(flag "$(key 46)" "$1/deploy.yaml") $(flag "$(key 47)" "$(value 47)") \
$(flag "$(key 49)" "$(value 49)") $(flag "$(key 50)" "$2/${name}_results") $(flag "$(key 51)" "$model_name")" "$log_path/$name.log"
        done; done; done
    else
        IFS='|' read -ra trts <<< "$(value 44)"
        IFS='|' read -ra precisions <<< "$(value 45)"
        for trt in "${trts[@]}"; do for precision in "${precisions[@]}"; do for batch in "${batches[@]}"; do
            [ "$trt" = False ] && [ "$precision" != fp32 ] && continue
            name=python_infer_gpu_usetrt_${trt}_precision_${precision}_batchsize_${batch}
            run "$python $(value 39) $(flag "$(key 40)" gpu) $(flag "$(key 43)" "$batch") $(flag "$(key 44)" "$trt") \
$(flag "$(key 45)" "$precision") $(flag "$(key 46)" "$1/deploy.yaml") $(flag "$(key 47)" "$(value 47)") \
$(flag "$(key 49)" "$(value 49)") $(flag "$(key 50)" "$2/${name}_results") $(flag "$(key 51)" "$model_name")" "$log_path/$name.log"
        done; done; done
    fi
}

# newest_weights SAVE_DIR: what `latest` on line 10 means.
newest_weights() {
    local wanted
    wanted=$(value 10)
    if [ "$wanted" != latest ] && [ -e "$1/$wanted" ]; then printf '%s' "$1/$wanted"; return; fi
    if [ -f "$1/best_model/model.pdparams" ]; then printf '%s' "$1/best_model/model.pdparams"; return; fi
    printf '%s/model.pdparams' "$(ls -d "$1"/iter_* | sort -t_ -k2 -V | tail -n 1)"
}

# chain GPUS AUTOCAST: train, evaluate, export, infer with one device and precision.
chain() {
    local gpus=$1 autocast=$2 name save_dir weights launch
    name=norm_train_gpus_${gpus/,/_}_autocast_${autocast}_nodes_1
    save_dir=$log_path/$name
    rm -rf "$save_dir"
    launch=$python
    [[ "$gpus" == *,* ]] && launch="$python -m paddle.distributed.launch --gpus=$gpus"
    [ "$gpus" = -1 ] && launch="env CUDA_VISIBLE_DEVICES= $python"
    run "$launch $(value 15) $(flag "$(key 5)" "$autocast") $(flag "$(key 6)" "$(by_mode "$(value 6)" "$mode")") \
$(flag "$(key 7)" "$save_dir") $(flag "$(key 8)" "$(by_mode "$(value 8)" "$mode")")" "$log_path/$name.log" || return
    weights=$(newest_weights "$save_dir")
    if [ "$(value 23)" != null ]; then
        run "$python $(value 23) $(flag "$(key 9)" "$weights") $(flag --save_dir "$save_dir/eval")" "$log_path/${name}_eval.log"
    fi
    run "$python $(value 29) $(flag "$(key 28)" "$weights") $(flag "$(key 27)" "$save_dir/export")" \
        "$log_path/${name}_export.log" || return
    infer "$save_dir/export" "$save_dir" "$gpus"
}

if [ "$train" = 1 ]; then
    IFS='|' read -ra gpu_list <<< "$(value 3)"
    IFS='|' read -ra autocasts <<< "$(value 5)"
    for gpus in "${gpu_list[@]}"; do
        if [ "$gpus" != -1 ] && ! has_gpu; then
            echo "skipped: gpus $gpus, Paddle sees none here; to run on the CPU write gpu_list:-1 into $1" | tee -a "$status_log"
            continue
        fi
        for autocast in "${autocasts[@]}"; do
            [ "$gpus" = -1 ] && [ "$autocast" = fp16 ] && { echo "skipped: fp16 on a CPU"; continue; }
            chain "$gpus" "$autocast"
        done
    done
else
    folder=$(value 36)
    if [ "$(value 37)" != null ] && [ -n "$(value 37)" ]; then
        run "$python $(value 37) $(flag "$(key 28)" "$folder") $(flag "$(key 27)" "$log_path/export")" "$log_path/whole_infer_export.log" && folder=$log_path/export
    fi
    infer "$folder" "$log_path" -1
fi

if ! grep -qE ' Run (successfully|failed) with' "$status_log"; then
    echo "error: nothing was run; see $status_log" >&2
    exit 1
fi
echo "$failures failed; $(grep -c 'Run successfully' "$status_log") succeeded; see $status_log"
[ "$failures" -eq 0 ]
