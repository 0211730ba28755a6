"""The bureau: files folded into evidence, evidence into a score, a score into reasons."""
