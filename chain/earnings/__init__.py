"""What an epoch earned our hotkeys and how much of it was take."""
