"""How healthy the pipeline is: each server, the lag, the newest runs, the disk and the alerts."""
