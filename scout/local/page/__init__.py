"""The page of the local Scout: the runs, the workflows, the refused requests, the faults and stubs, for a browser."""
