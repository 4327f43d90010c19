//go:build !linux

package main

import "time"

// On other systems than Linux the figures of processor time and memory are left out.

func processorTime(int) time.Duration { return 0 }

func resident(int) (int64, error) { return 0, nil }

func parentOf(int) int { return 0 }

func familyTime(int) time.Duration { return 0 }

func load() float64 { return 0 }
