#!/usr/bin/env bash
#SBATCH --job-name=grpo --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=32 --time=24:00:00
#SBATCH --output=grpo-%j.log
# One launcher a node; the monitor in the script stops all processes at one step. The watcher beside it reads the
# job's own log, needs no GPU, and cancels a run that has collapsed though its script has no monitor.
set -euo pipefail
script=${1:?usage: sbatch slurm.sh train.py}
configs=$(python -c "import trl; print(trl.__path__[0] + '/accelerate_configs')")
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

(sharpening monitor "grpo-$SLURM_JOB_ID.log" --follow --fail-on critical || { [ $? -eq 1 ] && scancel "$SLURM_JOB_ID"; }) &

srun bash -c "accelerate launch --config_file '$configs/fsdp2.yaml' \
    --num_machines $SLURM_JOB_NUM_NODES --num_processes $((SLURM_JOB_NUM_NODES * 8)) --machine_rank \$SLURM_NODEID \
    --main_process_ip $head --main_process_port 29500 '$script'"
