//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// install brings what the end-to-end tests need and the machine has not: the
// npm packages of test/e2e, and Debian's chromium and python3-autobahn. What
// cannot be had is no failure here: the tests that need it skip and say so.
func install(ctx context.Context, r *result, dir string) {
	if missing := debianPackages(); len(missing) > 0 {
		apt(ctx, missing)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return
	}
	// npm notes what it installed; it is current when no older than the lock.
	want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	have, err2 := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && err2 == nil && !have.ModTime().Before(want.ModTime()) {
		return
	}
	fmt.Println("   npm ci in " + dir)
	out, err := command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		r.fail("npm ci", fmt.Sprintf("%v\n%s", err, out))
	}
}

func debianPackages() (missing []string) {
	has := func(names ...string) bool {
		for _, n := range names {
			if _, err := exec.LookPath(n); err == nil {
				return true
			}
		}
		return false
	}
	if os.Getenv("CHROMIUM") == "" && !has("chromium", "chromium-browser", "google-chrome") {
		missing = append(missing, "chromium")
	}
	// Debian's module lies with Debian's Python, which need not be the first one.
	if exec.Command("/usr/bin/python3", "-c", "import autobahn").Run() != nil {
		missing = append(missing, "python3-autobahn")
	}
	return missing
}

func apt(ctx context.Context, packages []string) {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		fmt.Printf("   not installed: %v (that wants Debian and root)\n", packages)
		return
	}
	fmt.Printf("   apt-get install %v\n", packages)
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, packages...)} {
		cmd := command(ctx, ".", "apt-get", args...)
		cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("   apt-get %v: %v\n%s", args, err, out)
		}
	}
}
