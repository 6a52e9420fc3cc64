"""What a person sees while work goes on: progress bars, and silence from chatty libraries."""
