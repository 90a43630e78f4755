"""This machine: its GPUs and who holds them, its cores, processes that die with their owner."""
