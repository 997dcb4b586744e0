package onnx

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkTower evaluates a tower like the trainer's (77 + 21 one-hot columns and a number, 64
// hidden, 32 out). The platform's figure is at most 20 us an event.
func BenchmarkTower(b *testing.B) {
	m := loadTower(b)
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			inputs := towerInputs(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Run(b.Context(), inputs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}

func BenchmarkTowerParallel(b *testing.B) {
	m := loadTower(b)
	inputs := towerInputs(1)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Run(b.Context(), inputs); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkLoadTower(b *testing.B) {
	file := towerFile()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := Load(file)
		require.NoError(b, err)
	}
}

// BenchmarkDenseGemm is the product alone, with nothing to skip.
func BenchmarkDenseGemm(b *testing.B) {
	const rows, inner, columns = 100, 99, 64
	x, w, y := make([]float32, rows*inner), make([]float32, inner*columns), make([]float32, rows*columns)
	for i := range x {
		x[i] = float32(i%7) + 1
	}
	for b.Loop() {
		multiply(y, matrix[float32]{x, inner, 1}, matrix[float32]{w, columns, 1}, rows, columns, inner, true)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows*inner*columns), "ns/multiply-add")
}
