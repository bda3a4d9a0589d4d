"""A model as a real ``torch.nn.Module``."""
