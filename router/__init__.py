"""Prompt Router."""
