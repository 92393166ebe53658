"""Many runs of one workflow: bounded, journalled, resumable."""
