"""Trainings whose result is a Dice, not a time. Long; each resumes where it was."""
