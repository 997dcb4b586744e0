"""Diecast's trainer: from a published training set to the artifacts of one model.

`python -m training --help` says how to run it, README.md how it works. Data flows one way through
the modules: run (the manifest and its files) -> tables (cells) -> dataset (arrays) -> features
(matrices) -> towers (the model) -> evaluation, graph and pipeline (its files) -> folder (the disk).
Only run, tables and folder touch the disk; nothing reads the clock or the network, so equal input
and seed give equal bytes on one kind of machine.
"""
