// Runs scripts in our Lua and in Debian's lua5.1, as alike as can be: print and io.write exist, errors of the chunk are told in one line.

using System.Diagnostics;

namespace Leither.Lua.Tests;

internal static class Judge
{
    public static string ScriptFolder => Path.Combine(AppContext.BaseDirectory, "scripts");

    public static bool IsMissing => !File.Exists("/usr/bin/lua5.1");

    public static byte[] RunOurs(byte[] script, string chunkName)
    {
        using var output = new MemoryStream();
        var state = new LuaState();
        LuaLibraries.OpenStandard(state);
        state.Globals.Get(LuaState.Name("tostring")).TryFunction(out LuaFunction? tostring);
        state.Register(state.Globals, "print", t =>
        {
            for (int i = 1; i <= t.ArgCount; i++)
            {
                output.Write(i > 1 ? "\t"u8 : []);
                t.Call(tostring!, null, t[i]).TryString(out LuaString? text);
                output.Write(text!.Span);
            }

            output.WriteByte((byte)'\n');
            return 0;
        });
        LuaTable io = state.NewTable();
        state.Globals.Set(LuaState.Name("io"), io);
        state.Register(io, "write", t =>
        {
            for (int i = 1; i <= t.ArgCount; i++)
            {
                output.Write(t.CheckString(i).Span);
            }

            return 0;
        });
        try
        {
            LuaClosure chunk = state.Load(script, chunkName);

            // The program lua5.1 runs a script two native calls deep; limits of nesting count from there.
            state.Main.Call(state.NewFunction(t =>
            {
                t.Call(chunk, null);
                return 0;
            }), null);
        }
        catch (LuaException e)
        {
            output.Write(System.Text.Encoding.Latin1.GetBytes("lua5.1: " + e.Message + "\n"));
        }

        return output.ToArray();
    }

    public static byte[] RunTheirs(byte[] script, string fileName)
    {
        string folder = Directory.CreateTempSubdirectory("lua-judge").FullName;
        try
        {
            File.WriteAllBytes(Path.Combine(folder, fileName), script);
            using var process = Process.Start(new ProcessStartInfo("lua5.1", fileName)
            {
                WorkingDirectory = folder,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            using var output = new MemoryStream();
            process.StandardOutput.BaseStream.CopyTo(output);
            process.WaitForExit();
            string? error = errors.Result.Split('\n').FirstOrDefault(l => l.Length > 0);
            if (error is not null)
            {
                output.Write(System.Text.Encoding.Latin1.GetBytes(error + "\n"));
            }

            return output.ToArray();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
